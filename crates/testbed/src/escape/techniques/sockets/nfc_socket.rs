//! Radio within reach of a hand.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "nfc-socket",
    tries: "a socket of AF_NFC",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_NFC"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NFC, libc::SOCK_SEQPACKET, 0)
}
