//! The plainest way out, with a datagram.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-address-udp",
    tries: "a datagram to an address of the host",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("192.0.2.1:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let to = ground.canary(ground.v4);
    Verdict::of(net::udp(to.ip()).and_then(|socket| socket.ask(to)))
}
