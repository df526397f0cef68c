//! The doors are bound to 198.18.0.1. Whatever is sent there arrives at one, as what it is: an attempt to reach a
//! reserved address.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "door-address-v4",
    tries: "the address of the doors, at other ports",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("198.18.0.1:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock_at_own(ground, Ipv4Addr::new(198, 18, 0, 1))
}
