//! Services of a host listen for datagrams on loopback too: resolvers, loggers, exporters. A compartment has a loopback
//! of its own.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-loopback-udp",
    tries: "a datagram to the host's 127.0.0.1",
    wall: "network namespace",
    control: Control::Caller,
    record: Record::Nothing("its own loopback is the workload talking to itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let to = ground.canary(Ipv4Addr::LOCALHOST);
    Verdict::of(net::udp(to.ip()).and_then(|socket| socket.ask(to)))
}
