//! Memory that even the host's root cannot look at hides from every scanner, and keeps the machine from hibernating.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "secret-memory",
    tries: "memory that nobody else can look at",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("memfd_secret"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::of(sys::call(libc::SYS_memfd_secret, &[0]))
}
