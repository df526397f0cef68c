//! Frames straight from a device, past the stack.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "xdp-socket",
    tries: "a socket of AF_XDP",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_XDP"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(44, libc::SOCK_RAW, 0)
}
