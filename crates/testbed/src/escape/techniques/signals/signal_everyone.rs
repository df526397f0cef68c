//! `kill(-1)` reaches every process of one's user, the launcher of another workload among them.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "signal-everyone",
    tries: "a signal to all processes, and to groups of the host",
    wall: "process namespace, Landlock",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let signal = libc::SIGCONT as usize;
    let targets = ground.processes().map(|pid| (pid as usize).wrapping_neg());
    Verdict::any(targets.chain([1_usize.wrapping_neg()]).map(|target| {
        let sent = sys::call(libc::SYS_kill, &[target, signal]);
        ((target as isize).to_string(), Verdict::of(sent))
    }))
}
