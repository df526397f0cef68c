//! Getting a thread out of a system call that waits.
//!
//! Whether a call on a socket waits is a property of the socket, and whoever shares it may change that at any time.
//! A thread that such a socket may hold up is got out by a signal: the call fails with `EINTR`.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

/// Nothing else of ours uses it.
const SIGNAL: libc::c_int = libc::SIGUSR1;

extern "C" fn nothing(_signal: libc::c_int) {}

/// Makes [`interrupt`] work in this process: from now on `SIGUSR1` interrupts system calls, and does nothing else.
pub fn prepare() -> io::Result<()> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeroes is a valid sigaction without SA_RESTART; the mask is initialised by sigemptyset, and the
    // handler does nothing, which is async-signal-safe.
    let result = unsafe {
        let action = action.assume_init_mut();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(SIGNAL, action, std::ptr::null_mut())
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Interrupts what `thread` waits in. One that enters a call in this moment may miss it: repeat until it has ended.
pub fn interrupt<T>(thread: &JoinHandle<T>) {
    // SAFETY: the handle exists, so the thread was neither joined nor detached and its id is valid, ended or not.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), SIGNAL) };
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_call_that_would_wait_for_ever_ends() {
        prepare().unwrap();
        let (mut near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || near.read(&mut [0]).unwrap_err().kind());
        let end = Instant::now() + Duration::from_secs(20);
        while !thread.is_finished() {
            assert!(Instant::now() < end, "still waiting");
            interrupt(&thread);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(thread.join().unwrap(), io::ErrorKind::Interrupted);
    }
}
