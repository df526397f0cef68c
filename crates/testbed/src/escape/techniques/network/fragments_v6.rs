//! Only the first fragment has ports. What judges fragments one by one lets the others pass.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "fragments-v6",
    tries: "a datagram in fragments",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("[2001:db8::1]:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let socket = net::udp(ground.v6)?;
    socket.set_number(libc::SOL_IPV6, libc::IPV6_MTU, 1280)?;
    socket.send(Some(ground.canary(ground.v6)), &[b'f'; 5000], 0, &[])?;
    socket.hear()
}
