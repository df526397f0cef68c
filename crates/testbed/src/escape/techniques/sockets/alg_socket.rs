//! The kernel's ciphers through a socket: much code, many holes in its past.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "alg-socket",
    tries: "a socket of AF_ALG",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_ALG"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)
}
