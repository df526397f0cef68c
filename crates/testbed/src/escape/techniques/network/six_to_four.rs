//! An IPv4 address inside a 6to4 prefix (RFC 3056).

use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "six-to-four",
    tries: "2002:c000:201::1",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("[2002:c000:201::1]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv6Addr::new(0x2002, 0xc000, 0x201, 0, 0, 0, 0, 1))
}
