//! Folders of `/proc` describe, and some of them command, devices and file systems of the host.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "bus-listings",
    tries: "folders of devices and file systems in /proc",
    wall: "covers over /proc",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let names = [
        "acpi",
        "asound",
        "bus",
        "driver",
        "dynamic_debug",
        "fs",
        "scsi",
        "tty",
    ];
    Verdict::any(names.map(|name| (name.to_owned(), sys::shows(format!("/proc/{name}")))))
}
