//! A socket that was let through to one service, dissolved and connected to another: judged once, used twice.

use std::io;
use std::net::ToSocketAddrs;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "reconnected-socket",
    tries: "a datagram socket and a connection, used again for another destination",
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
    let anywhere = [0; 16];
    let socket = net::tcp(ground.v4)?;
    let echo = (ground.echo.0.as_str(), ground.echo.1).to_socket_addrs();
    let echo = echo
        .ok()
        .and_then(|mut all| all.find(|found| found.is_ipv4()));
    if let Some(echo) = echo {
        socket.connect(echo)?;
        socket.send(None, net::KNOCK, 0, &[])?;
        socket.hear()?;
        // `AF_UNSPEC` dissolves it.
        socket.connect_bytes(&anywhere)?;
    }
    socket.call(ground.canary(ground.v4))
}
