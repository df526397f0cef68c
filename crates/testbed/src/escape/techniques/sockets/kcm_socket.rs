//! Messages cut out of a TCP connection by a program in the kernel.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "kcm-socket",
    tries: "a socket of AF_KCM",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_KCM"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(41, libc::SOCK_DGRAM, 0)
}
