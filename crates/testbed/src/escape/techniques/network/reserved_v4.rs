//! 240/4 is reserved, and routed by some all the same.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "reserved-v4",
    tries: "240.0.0.1",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("240.0.0.1:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv4Addr::new(240, 0, 0, 1))
}
