//! Loose source routing (RFC 791): the destination in the header is a hop, the true one is behind it. Rules that look
//! at the header judge the hop.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "source-route-option",
    tries: "an IPv4 source route by way of another address",
    wall: "firewall rules",
    control: Control::Root,
    record: Record::Nothing(
        "this kernel refuses the option for want of a right, and tells nobody; where it does not, the rule for options of IPv4 tells",
    ),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    // Where one may, the host follows such routes.
    for device in ["all", "default", "lo", &ground.device] {
        for switch in ["accept_source_route", "accept_local"] {
            // Inside nobody may.
            let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{device}/{switch}"), "1");
        }
    }
    let mut route = vec![1, 0x83, 7, 4];
    route.extend(ground.v4.octets());
    let socket = net::udp(ground.v4)?;
    socket.set(libc::SOL_IP, libc::IP_OPTIONS, &route)?;
    socket.ask(ground.canary(ground.v4))
}
