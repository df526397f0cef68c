//! Calls of the Andrew file system.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "rxrpc-socket",
    tries: "a socket of AF_RXRPC",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_RXRPC"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_RXRPC, libc::SOCK_DGRAM, libc::AF_INET)
}
