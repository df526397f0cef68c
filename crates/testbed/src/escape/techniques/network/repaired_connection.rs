//! A connection in repair needs no handshake: it is simply there, with numbers of one's choice.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "repaired-connection",
    tries: "TCP_REPAIR",
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
    let socket = net::tcp(ground.v4)?;
    socket.set_number(libc::SOL_TCP, libc::TCP_REPAIR, 1)?;
    socket.connect(ground.canary(ground.v4))?;
    Ok("a connection without a handshake".to_owned())
}
