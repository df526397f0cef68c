//! Multicast routing by hand.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "raw-igmp",
    tries: "a raw socket for IGMP",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("AF_INET SOCK_RAW protocol 2"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let all = [(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_IGMP)];
    Verdict::any(all.map(|(family, kind, protocol)| {
        let what = format!("family {family}, type {kind}, protocol {protocol}");
        (what, net::can_be_made(family, kind, protocol))
    }))
}
