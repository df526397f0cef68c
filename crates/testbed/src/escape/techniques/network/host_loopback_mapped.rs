//! An IPv4 address in IPv6 clothes: a filter that compares texts, or looks at one family only, lets it pass.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-loopback-mapped",
    tries: "::ffff:127.0.0.1",
    wall: "network namespace",
    control: Control::Caller,
    record: Record::Nothing("its own loopback is the workload talking to itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock(ground, Ipv4Addr::LOCALHOST.to_ipv6_mapped())
}
