//! 0.0.0.0 in IPv6 clothes.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "unspecified-mapped",
    tries: "::ffff:0.0.0.0",
    wall: "network namespace",
    control: Control::Caller,
    record: Record::Nothing("its own loopback is the workload talking to itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock(ground, Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())
}
