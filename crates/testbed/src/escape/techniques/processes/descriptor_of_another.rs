//! A descriptor of another process is taken out of it by number.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "descriptor-of-another",
    tries: "a descriptor of the canary, of process 1, of itself",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("pidfd_getfd"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let own = std::process::id() as i32;
    let tried = [ground.pid, 1, own].map(|pid| {
        let holder = sys::call(libc::SYS_pidfd_open, &[pid as usize, 0]).unwrap_or(-1);
        let taken = sys::call(libc::SYS_pidfd_getfd, &[holder as usize, 0, 0]);
        (format!("of {pid}"), Verdict::of(taken))
    });
    Verdict::any(tried)
}
