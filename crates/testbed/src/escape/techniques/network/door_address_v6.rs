//! The IPv6 doors are bound to 2001:2::1.

use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "door-address-v6",
    tries: "the address of the IPv6 doors, at other ports",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("[2001:2::1]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1))
}
