//! Command lines hold secrets and paths, and every user may read those of all processes it sees.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-arguments",
    tries: "names, arguments, states and threads of processes of the host",
    wall: "process namespace, own /proc",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let pids = ground.processes();
    Verdict::any(pids.flat_map(|pid| {
        [
            "cmdline",
            "comm",
            "status",
            "stat",
            "cgroup",
            "mountinfo",
            "task",
        ]
        .map(|name| {
            let path = format!("/proc/{pid}/{name}");
            (path.clone(), sys::shows(path))
        })
    }))
}
