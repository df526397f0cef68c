//! Reliable datagrams, from clusters: loaded on demand, and a way to root more than once.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "rds-socket",
    tries: "a socket of AF_RDS",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_RDS"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_RDS, libc::SOCK_SEQPACKET, 0)
}
