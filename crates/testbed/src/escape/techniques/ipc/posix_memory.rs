//! POSIX shared memory is a file in `/dev/shm`, open to its user under a name that programs choose alike everywhere.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "posix-memory",
    tries: "POSIX shared memory of the host, by its name",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(std::fs::read_to_string(format!(
        "/dev/shm{}",
        ground.posix_name
    )))
}
