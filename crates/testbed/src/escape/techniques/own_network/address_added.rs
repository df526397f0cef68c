//! An address of the host's, or the door's, on the own device.

use std::net::IpAddr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "address-added",
    tries: "adding an address",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::any(
        [IpAddr::from(ground.v4), IpAddr::from(ground.v6)]
            .map(|address| (address.to_string(), Verdict::of(net::give(address)))),
    )
}
