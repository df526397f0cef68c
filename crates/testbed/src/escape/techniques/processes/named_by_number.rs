//! Many calls take the number of a process: limits, priorities, processors, signals. In a process namespace the numbers
//! are others.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "named-by-number",
    tries: "limits, priorities and signals of the canary, by its number",
    wall: "process namespace",
    control: Control::Caller,
    record: Record::Nothing("nobody has that number inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let pid = ground.pid as usize;
    let mut room = [0_u8; 256];
    let place = sys::at_mut(&mut room);
    let (nothing, by_process) = (0, 1);
    let tries = [
        ("kill", libc::SYS_kill, [pid, nothing, 0, 0]),
        ("tgkill", libc::SYS_tgkill, [pid, pid, nothing, 0]),
        ("pidfd_open", libc::SYS_pidfd_open, [pid, 0, 0, 0]),
        (
            "prlimit64",
            libc::SYS_prlimit64,
            [pid, libc::RLIMIT_NOFILE as usize, 0, place],
        ),
        ("getpriority", libc::SYS_getpriority, [0, pid, 0, 0]),
        (
            "sched_getaffinity",
            libc::SYS_sched_getaffinity,
            [pid, room.len(), place, 0],
        ),
        (
            "sched_getparam",
            libc::SYS_sched_getparam,
            [pid, place, 0, 0],
        ),
        (
            "sched_getattr",
            libc::SYS_sched_getattr,
            [pid, place, 48, 0],
        ),
        ("ioprio_get", libc::SYS_ioprio_get, [by_process, pid, 0, 0]),
        ("getsid", libc::SYS_getsid, [pid, 0, 0, 0]),
        (
            "get_robust_list",
            libc::SYS_get_robust_list,
            [pid, place, place, 0],
        ),
    ];
    Verdict::any(tries.map(|(name, number, arguments)| {
        (name.to_owned(), Verdict::of(sys::call(number, &arguments)))
    }))
}
