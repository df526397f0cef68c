//! The source may be chosen for each datagram, past `bind`.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "packet-info-source",
    tries: "IP_PKTINFO, from loopback",
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
    // Device, source, and an address that is not looked at.
    let info = [[0; 4], [127, 0, 0, 1], [0; 4]].concat();
    let info = net::control(libc::SOL_IP, libc::IP_PKTINFO, &info);
    let socket = net::udp(ground.v4)?;
    socket.send(Some(ground.canary(ground.v4)), net::KNOCK, 0, &info)?;
    socket.hear()
}
