//! Data with the first segment (RFC 7413), before anyone has accepted.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "fast-open",
    tries: "data in the first segment of a connection",
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
    let socket = net::tcp(ground.v4)?;
    socket.send(
        Some(ground.canary(ground.v4)),
        net::KNOCK,
        libc::MSG_FASTOPEN,
        &[],
    )?;
    socket.hear()
}
