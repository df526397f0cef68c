//! Shared memory in place of TCP, between machines and within one.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "smc-socket",
    tries: "a socket of AF_SMC",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_SMC"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(43, libc::SOCK_STREAM, 0)
}
