//! As 0.0.0.0, in IPv6.

use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "unspecified-v6",
    tries: "::",
    wall: "network namespace",
    control: Control::Caller,
    record: Record::Nothing("its own loopback is the workload talking to itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock(ground, Ipv6Addr::UNSPECIFIED)
}
