//! An IPv4 address inside a Teredo prefix (RFC 4380).

use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "teredo",
    tries: "2001:0:c000:201::1",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("[2001:0:c000:201::1]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv6Addr::new(0x2001, 0, 0xc000, 0x201, 0, 0, 0, 1))
}
