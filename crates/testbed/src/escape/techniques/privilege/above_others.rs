//! What runs in real time, or with the best priority, runs before the neighbour, always.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "above-others",
    tries: "real time, better priorities, higher limits",
    wall: "limits and no capability",
    control: Control::Root,
    record: Record::Nothing("the kernel denies it by itself; no call of the table"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let one = [1_i32, 0];
    let place = sys::at(&one);
    /// Size 48, deadline, then runtime, deadline and period of a tenth of each second.
    const DEADLINE: [u32; 12] = [
        48,
        6,
        0,
        0,
        0,
        0,
        100_000_000,
        0,
        1_000_000_000,
        0,
        1_000_000_000,
        0,
    ];
    const REAL_TIME_IO: usize = 1 << 13;
    let (fifo, round_robin) = (libc::SCHED_FIFO as usize, libc::SCHED_RR as usize);
    let processes = libc::RLIMIT_NPROC as usize;
    let unlimited = [u64::MAX; 2];
    // Twice what a compartment has, and less than a host gives everybody.
    let twice = [8192_u64; 2];
    let tries = [
        (
            "first in, first out",
            libc::SYS_sched_setscheduler,
            [0, fifo, place, 0],
        ),
        (
            "round robin",
            libc::SYS_sched_setscheduler,
            [0, round_robin, place, 0],
        ),
        (
            "deadline",
            libc::SYS_sched_setattr,
            [0, sys::at(&DEADLINE), 0, 0],
        ),
        ("nice", libc::SYS_setpriority, [0, 0, -20_isize as usize, 0]),
        ("disk", libc::SYS_ioprio_set, [1, 0, REAL_TIME_IO, 0]),
        (
            "processes",
            libc::SYS_prlimit64,
            [0, processes, sys::at(&unlimited), 0],
        ),
        (
            "twice the processes",
            libc::SYS_prlimit64,
            [0, processes, sys::at(&twice), 0],
        ),
    ];
    Verdict::any(tries.map(|(name, number, arguments)| {
        let taken = sys::in_child(|| Verdict::of(sys::call(number, &arguments)));
        (name.to_owned(), taken)
    }))
}
