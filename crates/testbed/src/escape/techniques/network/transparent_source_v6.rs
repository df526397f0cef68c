//! The same in IPv6.

use std::io;
use std::net::SocketAddr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "transparent-source-v6",
    tries: "IPV6_TRANSPARENT, from an address that is not its own",
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
    let socket = net::udp(ground.v6)?;
    socket.set_number(libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1)?;
    socket.bind(SocketAddr::from(([0x2001, 0xdb8, 9, 9, 9, 9, 9, 9], 53)))?;
    socket.ask(ground.canary(ground.v6))
}
