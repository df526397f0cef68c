//! A link-local address is reached through a device, named by a zone. There is none but loopback, and its link leads to
//! a door as well.

use std::net::{SocketAddr, SocketAddrV6};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "link-local-v6",
    tries: "fe80:: with every zone",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("[fe80::7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    // Numbers of devices are small; a name that is not there is no zone.
    let zones = (0..8).chain(net::device_index(&ground.device));
    Verdict::any(zones.map(|zone| {
        let to = SocketAddr::from(SocketAddrV6::new(ground.link_local, ground.port, 0, zone));
        (format!("zone {zone}"), net::knock_at(to))
    }))
}
