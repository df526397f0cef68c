//! Processes: clone, credentials, descriptors across exec, signals.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_long, c_ulong};

use super::check;

/// Which side of a clone this is.
pub(crate) enum Cloned {
    /// The caller, with the child's process id and a descriptor of it.
    Parent {
        /// As this pid namespace numbers it.
        pid: i32,
        /// Close-on-exec.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Copies this process, as `fork` does, into the namespaces that `flags` (`CLONE_NEW*`) ask for.
///
/// Refused unless the process has one thread: in the copy of one with several, a lock (of the allocator, say)
/// could stay taken for ever.
pub(crate) fn clone_process(flags: c_int) -> io::Result<Cloned> {
    if thread_count()? != 1 {
        return Err(io::Error::other(
            "this process has several threads; a compartment is launched from a single-threaded one",
        ));
    }
    let mut pidfd: c_int = -1;
    let flags = flags | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: no CLONE_VM and no new stack: the child runs on a copy of this stack, as after fork. There is one
    // thread, so every lock is free in the copy. The third argument is valid for the kernel to write an int.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags as c_ulong,
            std::ptr::null_mut::<libc::c_void>(),
            &raw mut pidfd,
            std::ptr::null_mut::<libc::c_void>(),
            0_usize,
        )
    })?;
    if result == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: the kernel stored a fresh descriptor there; nobody else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent {
        pid: result as i32,
        pidfd,
    })
}

/// How many threads this process has.
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// A `prctl` whose arguments are plain integers.
pub(crate) fn prctl(operation: c_int, arguments: [c_ulong; 4]) -> io::Result<c_int> {
    let [a, b, c, d] = arguments;
    // SAFETY: only used for operations whose arguments are integers, never pointers.
    let result = check(i64::from(unsafe { libc::prctl(operation, a, b, c, d) }))?;
    Ok(result as c_int)
}

/// Gives the file behind `from` the number `to`, kept across exec.
pub(crate) fn place_descriptor(from: RawFd, to: RawFd) -> io::Result<()> {
    if from == to {
        // SAFETY: F_SETFD takes an integer.
        check(i64::from(unsafe { libc::fcntl(from, libc::F_SETFD, 0) }))?;
    } else {
        // SAFETY: dup2 takes integers; the caller gives up whatever was at `to`.
        check(i64::from(unsafe { libc::dup2(from, to) }))?;
    }
    Ok(())
}

/// Every descriptor from `first` on will be closed by exec.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: integers only; nothing is closed now.
    check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_uint,
        )
    })?;
    Ok(())
}

/// Closes every descriptor but those listed. For a process that has just been cloned, or has not begun yet:
/// whoever still holds an `OwnedFd` of a closed one must forget it.
pub(crate) fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .collect();
    keep.sort_unstable();
    let mut from = 0_u32;
    for kept in keep.into_iter().map(Some).chain([None]) {
        let to = kept.map_or(u32::MAX, |fd| fd.wrapping_sub(1));
        if kept != Some(from) && from <= to {
            // SAFETY: integers only; see the function's contract.
            check(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })?;
        }
        match kept {
            Some(fd) => from = fd + 1,
            None => break,
        }
    }
    Ok(())
}

/// Replaces the program. Returns only the error.
pub(crate) fn exec(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| {
        texts
            .iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect::<Vec<_>>()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with a null pointer, and all strings outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process without running anything of the one it was copied from.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: does not return, touches no memory.
    unsafe { libc::_exit(c_int::from(code)) }
}

/// Sends a signal to a process, a group (`-pid`), or everything this process may signal (`-1`).
pub(crate) fn kill(pid: i32, signal: c_int) -> io::Result<()> {
    // SAFETY: integers only.
    check(i64::from(unsafe { libc::kill(pid, signal) }))?;
    Ok(())
}

/// Sets the host name of this process's namespace, and the NIS domain to what a kernel starts with: a new namespace
/// has that of the host.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    const NO_DOMAIN: &str = "(none)";
    // SAFETY: pointer and length describe `name`.
    check(i64::from(unsafe {
        libc::sethostname(name.as_ptr().cast(), name.len())
    }))?;
    // SAFETY: pointer and length describe the constant.
    check(i64::from(unsafe {
        libc::setdomainname(NO_DOMAIN.as_ptr().cast(), NO_DOMAIN.len())
    }))?;
    Ok(())
}

/// Overwrites this process's command line, as `/proc` shows it to everyone who sees the process, with `name`.
///
/// What the standard library tells of the arguments is gone with it. A copy made by `clone` has a line of its own.
pub(crate) fn forget_arguments(name: &str) -> io::Result<()> {
    /// Where they begin and end, counted from the field after the program's name in parentheses.
    const BEGIN: usize = 45;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let unknown = || io::Error::other("the kernel does not say where the arguments lie");
    let (_, fields) = stat.rsplit_once(')').ok_or_else(unknown)?;
    let mut places = fields.split_ascii_whitespace().skip(BEGIN);
    let mut place = || places.next().and_then(|place| place.parse::<usize>().ok());
    let (Some(begin), Some(end)) = (place(), place()) else {
        return Err(unknown());
    };
    if begin == 0 || begin > end {
        return Err(unknown());
    }
    let mut line = vec![0; end - begin];
    // At least one zero byte stays at the end: without, the kernel shows what follows, the environment.
    let most = name.len().min(line.len().saturating_sub(1));
    line[..most].copy_from_slice(&name.as_bytes()[..most]);
    // SAFETY: the kernel put the arguments there when this program was started, in memory of the stack that is never
    // unmapped and that this process may write. There is one thread, and no reference into them is held: the standard
    // library copies when it is asked.
    unsafe {
        std::ptr::copy_nonoverlapping(
            line.as_ptr(),
            std::ptr::with_exposed_provenance_mut::<u8>(begin),
            line.len(),
        );
    }
    Ok(())
}

/// One signal, as read from a signal descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signalled {
    /// Which.
    pub(crate) signal: c_int,
    /// From the terminal or the kernel, not from a process.
    pub(crate) by_kernel: bool,
}

fn signal_set(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; sigaddset only changes it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Blocks `signals` and makes them readable from a descriptor (non-blocking, close-on-exec).
pub(crate) fn signal_descriptor(signals: &[c_int]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: the set is initialised and outlives the calls.
    let raw = unsafe {
        check(i64::from(libc::sigprocmask(
            libc::SIG_BLOCK,
            &raw const set,
            std::ptr::null_mut(),
        )))?;
        check(i64::from(libc::signalfd(
            -1,
            &raw const set,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )))?
    };
    // SAFETY: fresh, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as RawFd) })
}

/// The next signal from a signal descriptor; `None` when there is none.
pub(crate) fn next_signal(descriptor: BorrowedFd<'_>) -> io::Result<Option<Signalled>> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    // SAFETY: the buffer is as long as stated.
    let read = check(unsafe {
        libc::read(
            descriptor.as_raw_fd(),
            info.as_mut_ptr().cast(),
            size_of::<libc::signalfd_siginfo>(),
        )
    } as c_long);
    match read {
        Ok(length) if length as usize == size_of::<libc::signalfd_siginfo>() => {
            // SAFETY: zeroed at first, then written whole by the kernel.
            let info = unsafe { info.assume_init() };
            Ok(Some(Signalled {
                signal: info.ssi_signo as c_int,
                by_kernel: info.ssi_code > 0,
            }))
        }
        Ok(_) => Ok(None),
        Err(cause)
            if matches!(
                cause.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(cause) => Err(cause),
    }
}

/// Unblocks every signal and gives each its default action, except those that were ignored from the start.
pub(crate) fn fresh_signals(ignored: &[c_int]) {
    let set = signal_set(&[]);
    // SAFETY: integers and an initialised set; failing for KILL, STOP and unknown numbers is expected.
    unsafe {
        for signal in 1..=64 {
            if !ignored.contains(&signal) {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Whether a signal is ignored by this process.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    // SAFETY: all zeroes is a valid sigaction; with no new action the kernel only reports the old one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Waits until a child has ended, and lets the kernel forget it.
pub(crate) fn reap(pid: i32) -> io::Result<()> {
    // SAFETY: a null status pointer means that the status is not wanted.
    check(i64::from(unsafe {
        libc::waitpid(pid, std::ptr::null_mut(), 0)
    }))?;
    Ok(())
}

/// Another descriptor for the same file, numbered `least` or more, close-on-exec.
pub(crate) fn duplicate_above(descriptor: RawFd, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: integers only.
    let raw = check(i64::from(unsafe {
        libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, least)
    }))?;
    // SAFETY: fresh, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as RawFd) })
}

/// Whether a descriptor has nobody at its other end any more, and nothing to read.
pub(crate) fn is_hung_up(descriptor: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure, as stated; a time-out of zero does not wait.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready == 1
        && poll.revents & libc::POLLIN == 0
        && poll.revents & (libc::POLLHUP | libc::POLLERR) != 0
}

/// Lets the kernel forget every child that ends within `patience`; returns at once when there is none left.
pub(crate) fn reap_all(patience: std::time::Duration) {
    /// Between the first two looks, and between two at most: most end at once, and a start that waits is felt.
    const PAUSE: std::time::Duration = std::time::Duration::from_micros(50);
    const LONGEST: std::time::Duration = std::time::Duration::from_millis(2);
    let until = std::time::Instant::now() + patience;
    let mut pause = PAUSE;
    loop {
        // SAFETY: a null status pointer means that the status is not wanted; the call does not wait.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            0 if std::time::Instant::now() < until => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST);
            }
            1.. => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn children_that_do_not_end_are_not_waited_for_longer_than_that() {
        let ran = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "sys::process::tests::reaps"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    #[ignore = "reaps the children of other tests as well; run in a process of its own by the one above"]
    #[expect(clippy::zombie_processes, reason = "what is tested waits for it")]
    fn reaps() {
        let (patience, long) = (Duration::from_millis(80), Duration::from_secs(600));
        // Not to hold the pipes of whoever runs this open, should it fail.
        let deaf = Command::new("sleep")
            .arg("600")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(deaf.id()).unwrap();
        let start = Instant::now();
        reap_all(patience);
        assert!(start.elapsed() >= patience && start.elapsed() < long / 2);
        kill(pid, libc::SIGKILL).unwrap();
        // Once it has ended it is gone, and there is nothing to wait for.
        reap_all(long);
        assert!(start.elapsed() < long / 2);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
