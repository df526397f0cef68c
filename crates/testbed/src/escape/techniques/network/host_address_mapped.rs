//! An IPv4 packet from an IPv6 socket. It is steered as what it is on the wire.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-address-mapped",
    tries: "::ffff:192.0.2.1",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("192.0.2.1:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock(ground, ground.v4.to_ipv6_mapped())
}
