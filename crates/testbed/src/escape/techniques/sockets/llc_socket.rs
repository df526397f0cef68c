//! Frames of IEEE 802.2, without IP.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "llc-socket",
    tries: "a socket of AF_LLC",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_LLC"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_LLC, libc::SOCK_STREAM, 0)
}
