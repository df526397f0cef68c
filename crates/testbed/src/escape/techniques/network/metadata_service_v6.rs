//! The same service in IPv6, where one cloud has it.

use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "metadata-service-v6",
    tries: "fd00:ec2::254",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("[fd00:ec2::254]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))
}
