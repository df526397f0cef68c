//! Packet radio of amateurs.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "ax25-socket",
    tries: "a socket of AF_AX25",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_AX25"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_AX25, libc::SOCK_SEQPACKET, 0)
}
