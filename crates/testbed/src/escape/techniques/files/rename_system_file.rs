//! Whoever may rename beside a file may replace it. In the control it gets the name it has.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "rename-system-file",
    tries: "a file of the system, renamed",
    wall: "read-only mounts, Landlock",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::of(std::fs::rename("/etc/hosts", "/etc/hosts"))
}
