//! A raw socket writes its own headers: any protocol, any source.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "raw-ip",
    tries: "raw sockets that write headers",
    wall: "system calls",
    control: Control::Root,
    record: Record::DeniedEach(&[
        "AF_INET SOCK_RAW protocol 255",
        "AF_INET6 SOCK_RAW protocol 255",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let all = [
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW),
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP),
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP),
        (libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_RAW),
        (libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_UDP),
    ];
    Verdict::any(all.map(|(family, kind, protocol)| {
        let what = format!("family {family}, type {kind}, protocol {protocol}");
        (what, net::can_be_made(family, kind, protocol))
    }))
}
