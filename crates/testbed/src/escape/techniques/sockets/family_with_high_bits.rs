//! A filter that compares 64 bits lets pass what the kernel, which looks at 32, takes for another family.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "family-with-high-bits",
    tries: "a packet socket, with bits above the 32 that count",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("socket AF_PACKET"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let family = libc::AF_PACKET as usize;
    let kind = libc::SOCK_RAW as usize;
    Verdict::any([32, 40, 63].map(|bit| {
        let high = 1_usize << bit;
        let made = sys::call(libc::SYS_socket, &[family | high, kind | high, high]);
        (format!("bit {bit}"), Verdict::of(made))
    }))
}
