//! Children of an attacker, made by hand: the standard library would not pass the flags, and would not see a child killed.

#![allow(unsafe_code)]

use std::io::{self, Read, Write};

use super::Verdict;
use super::sys::{at, at_mut, call};

/// Size of `clone_args` with the cgroup in it.
const CLONE_ARGUMENTS: usize = 88;

/// A copy of this process; gives 0 in the copy.
pub fn fork() -> io::Result<i64> {
    call(libc::SYS_clone, &[libc::SIGCHLD as usize])
}

/// A child with these flags of `clone`, which ends at once.
pub fn clone(flags: usize) -> io::Result<i64> {
    call(libc::SYS_clone, &[flags | libc::SIGCHLD as usize]).map(ended)
}

/// The same by `clone3`.
pub fn clone3(arguments: &[u64; CLONE_ARGUMENTS / 8]) -> io::Result<i64> {
    call(libc::SYS_clone3, &[at(arguments), CLONE_ARGUMENTS]).map(ended)
}

fn ended(child: i64) -> i64 {
    if child == 0 {
        end();
    }
    child
}

fn end() -> ! {
    loop {
        // Always succeeds; the loop is for the compiler.
        let _ = call(libc::SYS_exit_group, &[0]);
    }
}

/// What comes of something that may end the process which tries it, or change it for good.
pub fn in_child(attempt: impl FnOnce() -> Verdict) -> Verdict {
    let (mut reader, mut writer) = match io::pipe() {
        Ok(ends) => ends,
        Err(cause) => return Verdict::Held(format!("no pipe: {cause}")),
    };
    let child = match fork() {
        Ok(0) => {
            drop(reader);
            let (word, text) = match attempt() {
                Verdict::Through(text) => ("through", text),
                Verdict::Held(text) => ("held", text),
            };
            // A parent that is gone asks no more.
            let _ = write!(writer, "{word} {text}");
            end()
        }
        Ok(child) => child,
        Err(cause) => return Verdict::Held(format!("no child: {cause}")),
    };
    drop(writer);
    let mut said = String::new();
    let heard = reader.read_to_string(&mut said);
    let mut status = 0_i32;
    let _ = call(libc::SYS_wait4, &[child as usize, at_mut(&mut status)]);
    match said.split_once(' ') {
        Some(("through", text)) => Verdict::Through(text.to_owned()),
        Some(("held", text)) => Verdict::Held(text.to_owned()),
        _ => Verdict::Held(format!(
            "the child ended with status {status:#x}, {heard:?}"
        )),
    }
}

/// A child that sleeps until this is dropped.
#[derive(Debug)]
pub struct Sleeping {
    /// Its number.
    pub pid: i32,
}

/// Makes one.
pub fn sleeping_child() -> io::Result<Sleeping> {
    let pid = fork()?;
    if pid == 0 {
        let long = [3600_i64, 0];
        // Interrupted, it ends earlier.
        let _ = call(libc::SYS_nanosleep, &[at(&long), 0]);
        end();
    }
    Ok(Sleeping { pid: pid as i32 })
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        // It is there until it is waited for.
        let _ = call(libc::SYS_kill, &[self.pid as usize, libc::SIGKILL as usize]);
        let _ = call(libc::SYS_wait4, &[self.pid as usize]);
    }
}

/// The capabilities in force that `/proc/PID/status` tells of; `None` when there is none.
pub fn capabilities(status: &str) -> Option<String> {
    let held = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let some = held.trim().chars().any(|digit| digit != '0');
    some.then(|| held.trim().to_owned())
}

/// Runs machine code, which must end with a return; gives what it leaves in the first register.
pub fn run(code: &[u8]) -> io::Result<i64> {
    let rights = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as usize;
    let kind = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let page = call(libc::SYS_mmap, &[0, 4096, rights, kind, usize::MAX, 0])? as usize;
    super::sys::poke(page, code);
    // SAFETY: the page holds the caller's code, and may be run; of this process nothing is relied on but what it prints.
    let function = unsafe { std::mem::transmute::<usize, extern "C" fn() -> i64>(page) };
    Ok(function())
}

/// From now on the alarm's signal is taken, and does nothing but interrupt.
pub fn handle_alarm() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing; all zeroes are no flags and an empty mask.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
    }
}
