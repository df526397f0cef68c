//! One call, many datagrams (`UDP_SEGMENT`): a rule sees one packet, the socket gets ten.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "segmented-datagrams",
    tries: "datagrams cut by the kernel",
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
    socket.set_number(libc::SOL_UDP, libc::UDP_SEGMENT, 100)?;
    socket.send(Some(ground.canary(ground.v4)), &[b's'; 1000], 0, &[])?;
    socket.hear()
}
