//! What the host was booted with may hold secrets; its disks and interrupts say what others do, from moment to
//! moment.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "machine-tables",
    tries: "boot line, disks, interrupts and memory map of the host in /proc",
    wall: "covers over /proc",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let names = [
        "cmdline",
        "interrupts",
        "softirqs",
        "diskstats",
        "partitions",
        "swaps",
        "iomem",
        "ioports",
        "consoles",
        "mdstat",
        "mtrr",
    ];
    Verdict::any(names.map(|name| (name.to_owned(), sys::shows(format!("/proc/{name}")))))
}
