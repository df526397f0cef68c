//! ff02::1 is every host on a link; ff01::1 is every program of this one.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "multicast-v6",
    tries: "a datagram to all nodes, on the link and on this host",
    wall: "firewall rules",
    control: Control::Caller,
    record: Record::DeniedEach(&["udp to ff02::1", "udp to ff01::1"]),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let device = net::device_index(&ground.device).unwrap_or(net::LOOPBACK);
    Verdict::any([0xff01, 0xff02].map(|scope| {
        let all = Ipv6Addr::new(scope, 0, 0, 0, 0, 0, 0, 1);
        let to = SocketAddr::from(SocketAddrV6::new(all, ground.port, 0, device));
        let asked = net::udp(all).and_then(|socket| socket.ask(to));
        (all.to_string(), Verdict::of(asked))
    }))
}
