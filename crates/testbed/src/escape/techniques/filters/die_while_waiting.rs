//! A refused call waits for the launcher. Here its callers are killed while they wait, hundreds of them, so that the
//! launcher answers for the dead: it must not lose count, and must answer those who live.

use crate::escape::prelude::*;

use super::still_answered;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "die-while-waiting",
    tries: "callers that die while their call waits",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("keyctl"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SESSION_KEYRING: usize = -3_isize as usize;
    let arguments = [0, SESSION_KEYRING, 1];
    for _ in 0..300 {
        let Ok(child) = sys::fork() else { continue };
        if child == 0 {
            loop {
                let _ = sys::call(libc::SYS_keyctl, &arguments);
            }
        }
        let _ = sys::call(libc::SYS_kill, &[child as usize, libc::SIGKILL as usize]);
        let _ = sys::call(libc::SYS_wait4, &[child as usize, 0, 0, 0]);
    }
    still_answered()
}
