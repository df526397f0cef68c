//! Starting the enforcer, or a porter, so that it cannot outlive the node.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Descriptor under which the enforcer finds its control channel.
pub const CONTROL_FD: i32 = 3;

/// What a service manager tells the node alone: whoever has the first could speak in the node's name.
const OF_THE_NODE: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "MAINPID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
];

/// A running enforcer. Dropping this does not end it; closing its control channel does.
#[derive(Debug)]
pub struct EnforcerProcess {
    pid: u32,
    pidfd: OwnedFd,
    waiter: JoinHandle<io::Result<ExitStatus>>,
}

impl EnforcerProcess {
    /// Its process id, for people.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Readable once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Ends it at once (`SIGKILL`), by descriptor: never hits a process that took over the id.
    pub fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }

    /// How it ended. Waits for that, so call it once [`pidfd`](Self::pidfd) is readable.
    pub fn wait(self) -> io::Result<ExitStatus> {
        self.waiter.join().unwrap_or_else(|_| {
            Err(io::Error::other(
                "the thread that waits for the enforcer panicked",
            ))
        })
    }
}

/// Starts `exe ARGS…` with `control` as descriptor [`CONTROL_FD`], nothing else but standard streams inherited,
/// and `SIGKILL` when this process ends.
///
/// The parent-death signal follows the *thread* that forked, so a thread of its own lives as long as the child.
pub fn spawn_enforcer(
    exe: &Path,
    args: &[OsString],
    control: OwnedFd,
) -> io::Result<EnforcerProcess> {
    let mut command = Command::new(exe);
    // What `ps` shows: the node's own path is a link into /proc.
    command.arg0("ringfence");
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    for name in OF_THE_NODE {
        command.env_remove(name);
    }
    let parent = rustix::process::getpid();
    let source = control.as_raw_fd();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::other("the node ended"));
        }
        crate::sys::place_descriptor(source, CONTROL_FD)?;
        crate::sys::close_on_exec_from(CONTROL_FD + 1)
    };
    // SAFETY: between fork and exec only async-signal-safe system calls are made, and nothing is allocated on the
    // way to success.
    unsafe { command.pre_exec(prepare) };

    let (report, started) = mpsc::sync_channel(1);
    let waiter = std::thread::Builder::new()
        .name("enforcer-waiter".to_owned())
        .spawn(move || {
            let spawned = command.spawn();
            drop(control);
            match spawned {
                Ok(mut child) => {
                    let pidfd = open_pidfd(child.id());
                    if report.send(pidfd.map(|pidfd| (child.id(), pidfd))).is_err() {
                        child.kill()?;
                    }
                    child.wait()
                }
                Err(cause) => {
                    let kind = cause.kind();
                    // The receiver waits right below; it cannot be gone.
                    let _ = report.send(Err(cause));
                    Err(kind.into())
                }
            }
        })?;
    let (pid, pidfd) = started
        .recv()
        .map_err(|_| io::Error::other("the thread that starts the enforcer ended"))??;
    Ok(EnforcerProcess { pid, pidfd, waiter })
}

/// The enforcer's side: takes the control channel from [`CONTROL_FD`], once.
///
/// An error when it was taken before, or when what is there is not such a channel: then no node started this process.
pub fn take_control() -> io::Result<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    // SAFETY: only borrowed for one question; if nothing has this number, the question fails.
    let there = unsafe { BorrowedFd::borrow_raw(CONTROL_FD) };
    let kind = rustix::net::sockopt::socket_type(there)?;
    if kind != rustix::net::SocketType::SEQPACKET || TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the node put it there for this process before it began, nothing else here knows the number, and the
    // flag above keeps a second owner from being made.
    Ok(unsafe { OwnedFd::from_raw_fd(CONTROL_FD) })
}

fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(|| io::Error::other("a process id out of range"))?;
    Ok(rustix::process::pidfd_open(
        pid,
        rustix::process::PidfdFlags::empty(),
    )?)
}
