//! Priorities, processors and limits of a process are its user's to set, by its number.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "reschedule-others",
    tries: "priority, processors and limits of processes of the host",
    wall: "process namespace",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let every = [u64::MAX; 16];
    let pid = ground.pid as usize;
    let lowest = 19;
    let calls: [(&str, i64, [usize; 4]); 4] = [
        (
            "sched_setaffinity",
            libc::SYS_sched_setaffinity,
            [pid, 128, sys::at(&every), 0],
        ),
        (
            "setpriority",
            libc::SYS_setpriority,
            [libc::PRIO_PROCESS as usize, pid, lowest, 0],
        ),
        ("ioprio_set", libc::SYS_ioprio_set, [1, pid, 3 << 13, 0]),
        ("setpgid", libc::SYS_setpgid, [pid, pid, 0, 0]),
    ];
    Verdict::any(calls.map(|(name, number, arguments)| {
        (name.to_owned(), Verdict::of(sys::call(number, &arguments)))
    }))
}
