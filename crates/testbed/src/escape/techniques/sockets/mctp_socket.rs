//! The management controllers of a machine.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "mctp-socket",
    tries: "a socket of AF_MCTP",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_MCTP"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(45, libc::SOCK_DGRAM, 0)
}
