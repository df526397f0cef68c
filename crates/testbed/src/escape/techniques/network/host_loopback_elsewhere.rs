//! All of 127/8 is loopback, and filters that know 127.0.0.1 only are passed by 127.9.8.7.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-loopback-elsewhere",
    tries: "another address of 127/8",
    wall: "network namespace",
    control: Control::Caller,
    record: Record::Nothing("its own loopback is the workload talking to itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock(ground, Ipv4Addr::new(127, 9, 8, 7))
}
