//! A network with NAT64 (RFC 6052) turns this into IPv4: the host's own address, past rules for IPv4.

use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "nat64",
    tries: "64:ff9b::192.0.2.1",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("[64:ff9b::c000:201]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(
        ground,
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0xc000, 0x201),
    )
}
