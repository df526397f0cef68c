//! Every address is local in a compartment, so a socket may be bound to any, even without `IP_FREEBIND`. Who calls is
//! known by the door, not by the address.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "foreign-source",
    tries: "a datagram from an address of somebody else",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("192.0.2.1:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let somebody = IpAddr::from([203, 0, 113, 10]);
    // Outside it must be made the host's first; inside it is there already.
    let _ = net::give(somebody);
    let socket = net::udp(ground.v4)?;
    socket.set_number(libc::SOL_IP, libc::IP_FREEBIND, 1)?;
    socket.bind(SocketAddr::new(somebody, 53))?;
    socket.ask(ground.canary(ground.v4))
}
