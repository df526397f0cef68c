//! Whoever is bound beside a door gets a part of what arrives there. The doors share their port with nobody.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "steal-the-udp-door",
    tries: "the port of the UDP doors, with every flag that shares one",
    wall: "doors",
    control: Control::Caller,
    record: Record::Nothing(
        "binding a port of its own network is the workload's own affair; the kernel says that it is in use",
    ),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::bind_beside_the_doors(net::udp, |_| Ok(()))
}
