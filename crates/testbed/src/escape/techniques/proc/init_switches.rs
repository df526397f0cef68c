//! Files in `/proc/PID` change how the kernel treats a process: who is killed first when memory is short, its name,
//! its slack. Those of init belong to nobody inside.

use std::io::Write;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "init-switches",
    tries: "the switches of process 1 in /proc",
    wall: "init is closed to debuggers",
    control: Control::Apart,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let switches = [
        ("oom_score_adj", "0"),
        ("comm", "taken"),
        ("coredump_filter", "0"),
        ("clear_refs", "1"),
        ("timerslack_ns", "50000"),
        ("autogroup", "0"),
        ("sched", "0"),
        ("loginuid", "0"),
        ("uid_map", "0 0 1"),
        ("setgroups", "allow"),
        ("mem", ""),
    ];
    Verdict::any(switches.map(|(name, value)| {
        let written = std::fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/1/{name}"))
            .and_then(|mut file| file.write_all(value.as_bytes()));
        (name.to_owned(), Verdict::of(written))
    }))
}
