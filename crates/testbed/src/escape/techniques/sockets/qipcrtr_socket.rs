//! The other processors of a phone's chip.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "qipcrtr-socket",
    tries: "a socket of AF_QIPCRTR",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_QIPCRTR"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(42, libc::SOCK_DGRAM, 0)
}
