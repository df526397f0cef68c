//! The obsolete way to a packet socket: a type of IPv4, which the kernel turns into the other family.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "packet-socket-by-type",
    tries: "a packet socket by SOCK_PACKET, the number 10",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("AF_INET type 10"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let all = [(libc::AF_INET, 10, 0x0300)];
    Verdict::any(all.map(|(family, kind, protocol)| {
        let what = format!("family {family}, type {kind}, protocol {protocol}");
        (what, net::can_be_made(family, kind, protocol))
    }))
}
