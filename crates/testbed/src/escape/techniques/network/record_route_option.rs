//! Options of IPv4 change what a packet does on its way. A workload may set some: recording the route is one. None
//! passes the rules.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "record-route-option",
    tries: "an IPv4 header with options",
    wall: "firewall rules",
    control: Control::Caller,
    record: Record::Denied("udp to 192.0.2.1"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    // Record route (RFC 791): room for two addresses.
    const RECORD_ROUTE: &[u8] = &[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let socket = net::udp(ground.v4)?;
    socket.set(libc::SOL_IP, libc::IP_OPTIONS, RECORD_ROUTE)?;
    socket.ask(ground.canary(ground.v4))
}
