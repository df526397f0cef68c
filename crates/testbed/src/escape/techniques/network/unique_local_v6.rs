//! fd52:6600::/64 holds the virtual addresses. One that is nobody's must not lead to a host that has it.

use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "unique-local-v6",
    tries: "a virtual IPv6 address that is nobody's",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("[fd52:6600::dead]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv6Addr::new(0xfd52, 0x6600, 0, 0, 0, 0, 0, 0xdead))
}
