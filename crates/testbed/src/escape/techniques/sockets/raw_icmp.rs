//! ICMP carries data both ways, and hardly anyone looks inside.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "raw-icmp",
    tries: "raw sockets for ICMP",
    wall: "system calls",
    control: Control::Root,
    record: Record::DeniedEach(&[
        "AF_INET SOCK_RAW protocol 1",
        "AF_INET6 SOCK_RAW protocol 58",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let all = [
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        (libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6),
    ];
    Verdict::any(all.map(|(family, kind, protocol)| {
        let what = format!("family {family}, type {kind}, protocol {protocol}");
        (what, net::can_be_made(family, kind, protocol))
    }))
}
