//! A routing header of IPv6 (RFC 8754): the destination in the header is a hop. The kernel steered it to a door, lost
//! it there, and told nobody; now a rule refuses it.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "routing-header",
    tries: "an IPv6 packet that names its own route",
    wall: "firewall rules",
    control: Control::Root,
    record: Record::Denied("udp to 2001:db8::1"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    // Where one may, the host follows such routes.
    for device in ["all", "default", "lo", &ground.device] {
        // Inside nobody may.
        let _ = std::fs::write(
            format!("/proc/sys/net/ipv6/conf/{device}/seg6_enabled"),
            "1",
        );
    }
    // Segment routing, of two segments, the first of which is to be visited next.
    let mut header = vec![0, 4, 4, 1, 1, 0, 0, 0];
    header.extend(ground.v6.octets());
    header.extend(ground.v6.octets());
    let socket = net::udp(ground.v6)?;
    socket.set(libc::SOL_IPV6, libc::IPV6_RTHDR, &header)?;
    socket.ask(ground.canary(ground.v6))
}
