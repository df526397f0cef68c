//! The signals of a launcher: which it reads, and which end it before there is a workload to pass them to.

use std::os::fd::OwnedFd;

use crate::error::Refusal;
use crate::sys;

/// Signals the launcher takes. Others keep their default action.
const CAUGHT: &[i32] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCONT,
    libc::SIGWINCH,
    libc::SIGCHLD,
];
/// Signals that end a program that does not handle them.
const ENDING: &[i32] = &[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Which of them the caller had ignored (`nohup`): they stay so, for the workload too.
pub(super) fn ignored() -> Vec<i32> {
    CAUGHT
        .iter()
        .copied()
        .filter(|signal| *signal != libc::SIGCHLD && sys::is_ignored(*signal))
        .collect()
}

/// From now on signals are read, not acted upon.
pub(super) fn catch(ignored: &[i32]) -> Result<OwnedFd, Refusal> {
    let caught: Vec<i32> = CAUGHT
        .iter()
        .copied()
        .filter(|signal| !ignored.contains(signal))
        .collect();
    sys::signal_descriptor(&caught)
        .map_err(|cause| Refusal::wall("a launcher", &cause, "raise the limit of open files"))
}

/// Whether a signal ends a program that has not started its work.
pub(super) fn ends(signal: i32) -> bool {
    ENDING.contains(&signal)
}
