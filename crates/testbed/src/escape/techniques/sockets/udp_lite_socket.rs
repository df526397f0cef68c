//! UDP with partial checksums: another number, so another protocol to a firewall.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "udp-lite-socket",
    tries: "UDP-Lite",
    wall: "system calls",
    control: Control::Built,
    record: Record::DeniedEach(&[
        "AF_INET type 2 protocol 136",
        "AF_INET6 type 2 protocol 136",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let all = [
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE),
        (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE),
    ];
    Verdict::any(all.map(|(family, kind, protocol)| {
        let what = format!("family {family}, type {kind}, protocol {protocol}");
        (what, net::can_be_made(family, kind, protocol))
    }))
}
