//! The same, asked for with the datagram itself.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "segmented-by-message",
    tries: "datagrams cut by the kernel, by control message",
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
    let each = net::control(libc::SOL_UDP, libc::UDP_SEGMENT, &100_u16.to_ne_bytes());
    let socket = net::udp(ground.v4)?;
    socket.send(Some(ground.canary(ground.v4)), &[b's'; 1000], 0, &each)?;
    socket.hear()
}
