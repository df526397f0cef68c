//! The source may be chosen for each datagram, past `bind`.

use std::io;
use std::net::Ipv6Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "packet-info-source-v6",
    tries: "IPV6_PKTINFO, from loopback",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("[2001:db8::1]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let mut info = Ipv6Addr::LOCALHOST.octets().to_vec();
    info.extend([0; 4]);
    let info = net::control(libc::SOL_IPV6, libc::IPV6_PKTINFO, &info);
    let socket = net::udp(ground.v6)?;
    socket.send(Some(ground.canary(ground.v6)), net::KNOCK, 0, &info)?;
    socket.hear()
}
