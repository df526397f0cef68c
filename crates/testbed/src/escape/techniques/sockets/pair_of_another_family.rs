//! `socketpair` makes sockets as well, and is forgotten by filters.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "pair-of-another-family",
    tries: "a pair of sockets of another family",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socketpair AF_TIPC"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let mut pair = [0_i32; 2];
    let family = libc::AF_TIPC as usize;
    let kind = libc::SOCK_STREAM as usize;
    Verdict::of(sys::call(
        libc::SYS_socketpair,
        &[family, kind, 0, sys::at_mut(&mut pair)],
    ))
}
