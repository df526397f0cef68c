//! Radio that no firewall sees.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "bluetooth-socket",
    tries: "a socket of AF_BLUETOOTH",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_BLUETOOTH"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_BLUETOOTH, libc::SOCK_SEQPACKET, 0)
}
