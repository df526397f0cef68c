//! Filters that read the first header only do not find the port behind an extension. Setting them needs a right.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "extension-headers",
    tries: "destination options and hop-by-hop options in front of a datagram",
    wall: "capabilities",
    control: Control::Root,
    record: Record::Nothing("the kernel refuses the options for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    // Six bytes of padding (RFC 8200).
    const PADDING: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];
    let socket = net::udp(ground.v6)?;
    socket.set(libc::SOL_IPV6, libc::IPV6_DSTOPTS, PADDING)?;
    socket.set(libc::SOL_IPV6, libc::IPV6_HOPOPTS, PADDING)?;
    socket.ask(ground.canary(ground.v6))
}
