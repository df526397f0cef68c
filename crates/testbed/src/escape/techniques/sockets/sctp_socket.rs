//! A transport with many streams and addresses; loaded on demand.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sctp-socket",
    tries: "SCTP",
    wall: "system calls",
    control: Control::Built,
    record: Record::DeniedEach(&["AF_INET type 1 protocol 132", "AF_INET type 5 protocol 132"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let all = [
        (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP),
        (libc::AF_INET, libc::SOCK_SEQPACKET, libc::IPPROTO_SCTP),
        (libc::AF_INET6, libc::SOCK_SEQPACKET, libc::IPPROTO_SCTP),
    ];
    Verdict::any(all.map(|(family, kind, protocol)| {
        let what = format!("family {family}, type {kind}, protocol {protocol}");
        (what, net::can_be_made(family, kind, protocol))
    }))
}
