//! A descriptor of a namespace is all that `setns` needs.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-namespaces",
    tries: "descriptors of the namespaces of processes of the host",
    wall: "process namespace, own /proc",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let pids = ground.processes();
    Verdict::any(pids.flat_map(|pid| {
        ["net", "mnt", "user", "pid", "ipc", "uts", "cgroup", "time"].map(|name| {
            let path = format!("/proc/{pid}/ns/{name}");
            (path.clone(), Verdict::of(sys::open(path, libc::O_RDONLY)))
        })
    }))
}
