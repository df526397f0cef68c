//! Environments hold tokens, and `/proc/PID/environ` shows those of all processes of one's user.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-environment",
    tries: "the environment of processes of the host",
    wall: "process namespace, own /proc",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let pids = ground.processes();
    Verdict::any(pids.map(|pid| {
        let path = format!("/proc/{pid}/environ");
        (path.clone(), sys::shows(path))
    }))
}
