//! Virtual circuits.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "atm-socket",
    tries: "a socket of AF_ATMPVC",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_ATMPVC"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_ATMPVC, libc::SOCK_DGRAM, 0)
}
