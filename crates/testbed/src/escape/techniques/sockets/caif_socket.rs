//! Another modem of phones.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "caif-socket",
    tries: "a socket of AF_CAIF",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_CAIF"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_CAIF, libc::SOCK_SEQPACKET, 0)
}
