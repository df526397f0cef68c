//! Packets within packets.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "raw-tunnels",
    tries: "raw sockets for GRE, ESP, AH, IP in IP",
    wall: "system calls",
    control: Control::Root,
    record: Record::DeniedEach(&["protocol 47", "protocol 50", "protocol 51", "protocol 4"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let all = [
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_GRE),
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ESP),
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_AH),
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_IPIP),
        (libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_GRE),
        (libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ESP),
    ];
    Verdict::any(all.map(|(family, kind, protocol)| {
        let what = format!("family {family}, type {kind}, protocol {protocol}");
        (what, net::can_be_made(family, kind, protocol))
    }))
}
