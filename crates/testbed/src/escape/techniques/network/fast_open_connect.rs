//! The same without a cookie, by option: `connect` returns at once, the first write connects.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "fast-open-connect",
    tries: "data in the first segment, by option",
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
    socket.set_number(libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, 1)?;
    socket.set_number(libc::SOL_TCP, libc::TCP_FASTOPEN_NO_COOKIE, 1)?;
    socket.connect(ground.canary(ground.v4))?;
    socket.send(None, net::KNOCK, 0, &[])?;
    socket.hear()
}
