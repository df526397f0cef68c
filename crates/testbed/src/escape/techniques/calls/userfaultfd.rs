//! Whoever answers page faults can hold the kernel still in the middle of a copy, and change what it is copying.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "userfaultfd",
    tries: "userfaultfd, by call and by device",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("userfaultfd"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const USER_MODE_ONLY: usize = 1;
    let called = sys::call(libc::SYS_userfaultfd, &[USER_MODE_ONLY]);
    let opened = std::fs::File::open("/dev/userfaultfd");
    Verdict::any([
        ("call".into(), Verdict::of(called)),
        ("device".into(), Verdict::of(opened)),
    ])
}
