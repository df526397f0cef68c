//! The kernel takes packets of a tunnel from a socket that says it speaks one (`UDP_ENCAP`). Without rules for a tunnel
//! they are datagrams.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "encapsulation",
    tries: "a socket of IPsec in UDP",
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
    const ESP_IN_UDP: i32 = 2;
    let socket = net::udp(ground.v4)?;
    socket.set_number(libc::SOL_UDP, libc::UDP_ENCAP, ESP_IN_UDP)?;
    socket.ask(ground.canary(ground.v4))
}
