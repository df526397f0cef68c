//! The modem of a phone.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "phonet-socket",
    tries: "a socket of AF_PHONET",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_PHONET"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_PHONET, libc::SOCK_DGRAM, 0)
}
