//! Buffers beyond the maxima, and priorities above the usual, need a right: neither weighs on the host.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "privileged-buffers",
    tries: "SO_RCVBUFFORCE, SO_SNDBUFFORCE, SO_PRIORITY",
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
    let socket = net::udp(ground.v4)?;
    let options = [
        (libc::SO_RCVBUFFORCE, 1 << 30),
        (libc::SO_SNDBUFFORCE, 1 << 30),
        (libc::SO_PRIORITY, 7),
    ];
    let set = options.map(|(option, value)| {
        socket
            .set_number(libc::SOL_SOCKET, option, value)
            .map(|()| option)
    });
    let set: Vec<i32> = set.into_iter().flatten().collect();
    match set.is_empty() {
        true => Err(io::Error::other("each was refused")),
        false => Ok(format!("options {set:?} were set")),
    }
}
