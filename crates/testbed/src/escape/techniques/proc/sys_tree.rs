//! `/sys` shows devices, firmware and control groups of the host, and commands some of them. A compartment has none.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sys-tree",
    tries: "the host's /sys, and what is mounted in it",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let places = [
        "/sys/class",
        "/sys/kernel",
        "/sys/kernel/debug",
        "/sys/kernel/tracing",
        "/sys/kernel/security",
        "/sys/fs/bpf",
        "/sys/fs/cgroup",
        "/sys/class/dmi/id/product_name",
        "/sys/class/net",
        "/sys/block",
        "/sys/firmware",
        "/sys/kernel/uevent_helper",
    ];
    Verdict::any(places.map(|path| (path.to_owned(), sys::shows(path))))
}
