//! A mark may come with each datagram as well.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "firewall-mark-by-message",
    tries: "SO_MARK as a control message",
    wall: "capabilities",
    control: Control::Root,
    record: Record::Nothing("the kernel refuses the message for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let mark = net::control(
        libc::SOL_SOCKET,
        libc::SO_MARK,
        &0x5246_0001_u32.to_ne_bytes(),
    );
    let socket = net::udp(ground.v4)?;
    socket.send(Some(ground.canary(ground.v4)), net::KNOCK, 0, &mark)?;
    socket.hear()
}
