//! The largest datagram there is, longer than many a buffer.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "large-datagram",
    tries: "a datagram of 65,507 bytes",
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
    socket.send(Some(ground.canary(ground.v4)), &[b'l'; 65_507], 0, &[])?;
    socket.hear()
}
