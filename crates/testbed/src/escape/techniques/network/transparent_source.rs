//! A transparent socket sends from any address: also from the neighbour's, or the enforcer's.

use std::io;
use std::net::SocketAddr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "transparent-source",
    tries: "IP_TRANSPARENT, from an address that is not its own",
    wall: "capabilities",
    control: Control::Root,
    record: Record::Nothing("the kernel refuses the option for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let socket = net::udp(ground.v4)?;
    socket.set_number(libc::SOL_IP, libc::IP_TRANSPARENT, 1)?;
    socket.bind(SocketAddr::from(([203, 0, 113, 9], 53)))?;
    socket.ask(ground.canary(ground.v4))
}
