//! `/proc/PID/fd` opens the files of another process anew, deleted ones and memory files as well.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-descriptors",
    tries: "the open files of processes of the host",
    wall: "process namespace, own /proc",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let open = |pid: u32| {
        let mut entries = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
        entries.try_fold(0, |opened, entry| {
            let file = sys::open(entry?.path(), libc::O_RDONLY | libc::O_NONBLOCK);
            Ok::<_, std::io::Error>(opened + usize::from(file.is_ok()))
        })
    };
    let pids = ground.processes();
    Verdict::any(pids.map(|pid| {
        let opened = match open(pid) {
            Ok(0) => Verdict::Held("none can be opened".into()),
            opened => Verdict::of(opened),
        };
        (pid.to_string(), opened)
    }))
}
