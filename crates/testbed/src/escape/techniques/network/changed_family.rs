//! An IPv6 socket that becomes an IPv4 one (`IPV6_ADDRFORM`) after it was looked at.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "changed-family",
    tries: "a socket that changes its family",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("192.0.2.1:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let socket = net::udp(ground.v6)?;
    socket.connect(ground.canary(ground.v4.to_ipv6_mapped()))?;
    socket.set_number(libc::SOL_IPV6, libc::IPV6_ADDRFORM, libc::AF_INET)?;
    socket.send(None, net::KNOCK, 0, &[])?;
    socket.hear()
}
