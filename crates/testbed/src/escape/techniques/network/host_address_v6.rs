//! The plainest way out, in IPv6.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-address-v6",
    tries: "an IPv6 address of the host",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("[2001:db8::1]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    net::knock(ground, ground.v6)
}
