//! From a virtual machine, its host: past every network.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "vsock-socket",
    tries: "a socket of AF_VSOCK",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_VSOCK"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_VSOCK, libc::SOCK_STREAM, 0)
}
