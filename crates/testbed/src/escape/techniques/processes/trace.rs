//! Whoever traces a process is that process.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "trace",
    tries: "trace the canary, process 1 and a child",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("ptrace"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    const SEIZE: usize = 0x4206;
    const ATTACH: usize = 16;
    let child = sys::sleeping_child();
    let own = child.as_ref().map_or(0, |child| child.pid);
    let mut tried = Vec::new();
    for pid in [ground.pid, 1, own] {
        for request in [SEIZE, ATTACH] {
            let traced = sys::call(libc::SYS_ptrace, &[request, pid as usize, 0, 0]);
            tried.push((format!("{pid} by {request:#x}"), Verdict::of(traced)));
        }
    }
    Verdict::any(tried)
}
