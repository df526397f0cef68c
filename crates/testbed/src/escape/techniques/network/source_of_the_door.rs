//! A datagram from the enforcer's own address could be taken for an answer, and answered, for ever. It is taken for
//! what it is, and goes no further.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "source-of-the-door",
    tries: "a datagram from the address of the doors",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("it came from the enforcer's own address"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let door = IpAddr::from([198, 18, 0, 1]);
    // Outside it must be made the host's first.
    let _ = net::give(door);
    let socket = net::udp(ground.v4)?;
    socket.bind(SocketAddr::new(door, 53))?;
    socket.ask(ground.canary(ground.v4))
}
