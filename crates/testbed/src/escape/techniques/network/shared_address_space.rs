//! 100.64/10 is what virtual addresses are taken from. One that is nobody's must not lead to a host that has it.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "shared-address-space",
    tries: "an address among the virtual ones that is nobody's",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("100.99.98.97:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv4Addr::new(100, 99, 98, 97))
}
