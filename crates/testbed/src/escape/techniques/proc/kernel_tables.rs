//! Addresses of the kernel, its memory, keys and timers help whoever attacks it. A compartment shows the null device
//! in their place.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "kernel-tables",
    tries: "memory, symbols, keys and timers of the kernel in /proc",
    wall: "covers over /proc",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let names = [
        "kcore",
        "kallsyms",
        "keys",
        "key-users",
        "timer_list",
        "vmallocinfo",
        "config.gz",
        "modules",
        "slabinfo",
        "pagetypeinfo",
        "kpageflags",
        "kpagecount",
        "sched_debug",
        "latency_stats",
    ];
    Verdict::any(names.map(|name| (name.to_owned(), sys::shows(format!("/proc/{name}")))))
}
