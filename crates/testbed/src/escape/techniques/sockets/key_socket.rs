//! The older way to the keys of IPsec.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "key-socket",
    tries: "a socket of AF_KEY",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_KEY"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_KEY, libc::SOCK_RAW, 2)
}
