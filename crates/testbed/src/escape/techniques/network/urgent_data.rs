//! Urgent data stands beside the stream: it may pass a reader that does not look there.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "urgent-data",
    tries: "urgent data on a connection",
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
    socket.connect(ground.canary(ground.v4))?;
    socket.send(None, b"!", libc::MSG_OOB, &[])?;
    socket.hear()
}
