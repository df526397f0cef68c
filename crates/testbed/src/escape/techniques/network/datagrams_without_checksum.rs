//! Without a checksum the kernel let an IPv6 datagram go at the door, and told nobody. Now it arrives there, and is
//! denied.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "datagrams-without-checksum",
    tries: "datagrams without a checksum",
    wall: "doors",
    control: Control::Caller,
    record: Record::DeniedEach(&["192.0.2.1:7007", "[2001:db8::1]:7007"]),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let socket = net::udp(ground.v4)?;
    socket.set_number(libc::SOL_SOCKET, libc::SO_NO_CHECK, 1)?;
    let heard = socket.ask(ground.canary(ground.v4));
    let socket = net::udp(ground.v6)?;
    socket.set_number(libc::SOL_UDP, libc::UDP_NO_CHECK6_TX, 1)?;
    socket.ask(ground.canary(ground.v6)).or(heard)
}
