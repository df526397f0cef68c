//! The deprecated form of an IPv4 address in IPv6 (RFC 4291, 2.5.5.1). A reader that turns it into IPv4 would judge
//! another address than the one that is sent to.

use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "v4-compatible",
    tries: "::192.0.2.1",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("[::c000:201]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0xc000, 0x201))
}
