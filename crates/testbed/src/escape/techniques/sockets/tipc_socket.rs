//! A network of its own between nodes of a cluster, with name service.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "tipc-socket",
    tries: "a socket of AF_TIPC",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_TIPC"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_TIPC, libc::SOCK_STREAM, 0)
}
