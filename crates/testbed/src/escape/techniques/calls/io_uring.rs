//! A ring makes system calls for a program that no filter sees: whoever has one has all of them.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "io-uring",
    tries: "a ring of io_uring, whose calls no filter sees",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["io_uring_setup", "io_uring_enter", "io_uring_register"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let mut parameters = [0_u8; 120];
    let ring = Verdict::of(sys::call(
        libc::SYS_io_uring_setup,
        &[1, sys::at_mut(&mut parameters)],
    ));
    // As if a ring had been left open by whoever started us.
    let enter = Verdict::past(sys::call(libc::SYS_io_uring_enter, &[0, 1, 0, 0]));
    let register = Verdict::past(sys::call(libc::SYS_io_uring_register, &[0, 0, 0, 0]));
    Verdict::any([
        ("setup".into(), ring),
        ("enter".into(), enter),
        ("register".into(), register),
    ])
}
