//! Calls that take a process's number tell whether there is such a process, and more, without `/proc`.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "process-numbers",
    tries: "processes of the host, asked for by number",
    wall: "process namespace",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let mut room = [0_u64; 16];
    let place = sys::at_mut(&mut room);
    let asked = ground.processes().flat_map(|pid| {
        let pid = pid as usize;
        let calls: [(&str, i64, [usize; 4]); 8] = [
            ("getpgid", libc::SYS_getpgid, [pid, 0, 0, 0]),
            ("getsid", libc::SYS_getsid, [pid, 0, 0, 0]),
            (
                "getpriority",
                libc::SYS_getpriority,
                [libc::PRIO_PROCESS as usize, pid, 0, 0],
            ),
            (
                "sched_getscheduler",
                libc::SYS_sched_getscheduler,
                [pid, 0, 0, 0],
            ),
            (
                "sched_getaffinity",
                libc::SYS_sched_getaffinity,
                [pid, 128, place, 0],
            ),
            (
                "prlimit64",
                libc::SYS_prlimit64,
                [pid, libc::RLIMIT_NOFILE as usize, 0, place],
            ),
            ("pidfd_open", libc::SYS_pidfd_open, [pid, 0, 0, 0]),
            ("ioprio_get", libc::SYS_ioprio_get, [1, pid, 0, 0]),
        ];
        calls.map(|(name, number, arguments)| {
            (
                format!("{name} {pid}"),
                Verdict::of(sys::call(number, &arguments)),
            )
        })
    });
    Verdict::any(asked)
}
