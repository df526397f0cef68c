//! The mark is what makes a packet ours: marked, it passes all rules. Setting it needs a right.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "firewall-mark",
    tries: "SO_MARK, with our own mark",
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
    socket.set_number(libc::SOL_SOCKET, libc::SO_MARK, 0x5246_0001)?;
    socket.ask(ground.canary(ground.v4))
}
