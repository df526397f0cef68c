//! Linux takes 0.0.0.0 as a destination for this host. Filters forget it.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "unspecified-v4",
    tries: "0.0.0.0",
    wall: "network namespace",
    control: Control::Caller,
    record: Record::Nothing("its own loopback is the workload talking to itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock(ground, Ipv4Addr::UNSPECIFIED)
}
