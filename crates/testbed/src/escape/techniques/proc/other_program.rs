//! The program file of a process can be opened, and in careless sandboxes overwritten, through `/proc/PID/exe`,
//! wherever it lies.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-program",
    tries: "the program files of processes of the host",
    wall: "process namespace, own /proc",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let pids = ground.processes();
    Verdict::any(pids.map(|pid| {
        let opened = sys::open(format!("/proc/{pid}/exe"), libc::O_RDONLY);
        (pid.to_string(), Verdict::of(opened))
    }))
}
