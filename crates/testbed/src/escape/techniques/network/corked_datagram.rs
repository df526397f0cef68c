//! A datagram put together by several calls, the first of which names the destination.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "corked-datagram",
    tries: "a corked datagram",
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
    socket.set_number(libc::SOL_UDP, libc::UDP_CORK, 1)?;
    socket.send(Some(ground.canary(ground.v4)), b"first", 0, &[])?;
    socket
        .send(None, b"second", libc::MSG_MORE, &[])
        .or_else(|_| {
            socket.send(
                Some(ground.canary(ground.v4)),
                b"second",
                libc::MSG_MORE,
                &[],
            )
        })?;
    socket.set_number(libc::SOL_UDP, libc::UDP_CORK, 0)?;
    socket.hear()
}
