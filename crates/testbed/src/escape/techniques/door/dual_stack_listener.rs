//! A listener of both families takes IPv4 as well, by another path of the kernel.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "dual-stack-listener",
    tries: "the port of the doors, from a socket of both families",
    wall: "doors",
    control: Control::Caller,
    record: Record::Nothing(
        "binding a port of its own network is the workload's own affair; the kernel says that it is in use",
    ),
    start: Start::Plain,
    attempt,
};

/// Port of the doors.
const DOOR_PORT: u16 = 15001;

fn attempt(_: &Ground) -> Verdict {
    Verdict::of(steal())
}

fn steal() -> io::Result<()> {
    let mapped = Ipv4Addr::new(198, 18, 0, 1).to_ipv6_mapped();
    let places = [Ipv6Addr::UNSPECIFIED, mapped];
    let mut last = Err(io::Error::other("nowhere"));
    for place in places {
        let socket = net::tcp(place)?;
        socket.set_number(libc::SOL_IPV6, libc::IPV6_V6ONLY, 0)?;
        socket.set_number(libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        last = socket
            .bind(SocketAddr::new(place.into(), DOOR_PORT))
            .and_then(|()| socket.listen());
        if last.is_ok() {
            return last;
        }
    }
    last
}
