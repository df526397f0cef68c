//! Tunnels over Ethernet and UDP, from a socket.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "pppox-socket",
    tries: "a socket of AF_PPPOX",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_PPPOX"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_PPPOX, libc::SOCK_STREAM, 0)
}
