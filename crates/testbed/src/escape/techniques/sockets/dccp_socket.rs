//! Datagrams with congestion control; removed from Linux after a hole too many.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "dccp-socket",
    tries: "DCCP",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("AF_INET type 6 protocol 33"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let all = [
        (libc::AF_INET, 6, libc::IPPROTO_DCCP),
        (libc::AF_INET6, 6, libc::IPPROTO_DCCP),
    ];
    Verdict::any(all.map(|(family, kind, protocol)| {
        let what = format!("family {family}, type {kind}, protocol {protocol}");
        (what, net::can_be_made(family, kind, protocol))
    }))
}
