//! A datagram without a byte is a message all the same: that it came.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "empty-datagram",
    tries: "an empty datagram",
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
    let socket = net::udp(ground.v4)?;
    socket.send(Some(ground.canary(ground.v4)), &[], 0, &[])?;
    socket.hear()
}
