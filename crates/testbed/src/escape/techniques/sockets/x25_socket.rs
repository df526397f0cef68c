//! A packet network older than IP; its code is hardly looked at.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "x25-socket",
    tries: "a socket of AF_X25",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_X25"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_X25, libc::SOCK_SEQPACKET, 0)
}
