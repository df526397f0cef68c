//! The bus of a vehicle or a machine.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "can-socket",
    tries: "a socket of AF_CAN",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_CAN"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_CAN, libc::SOCK_RAW, 1)
}
