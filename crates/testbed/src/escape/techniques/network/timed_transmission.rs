//! A datagram that says when it wants to be sent: it may leave when nobody looks any more.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "timed-transmission",
    tries: "SO_TXTIME, in the past and in the future",
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
    // The monotonic clock, no flags.
    socket.set(
        libc::SOL_SOCKET,
        libc::SO_TXTIME,
        &[1_i32, 0].map(i32::to_ne_bytes).concat(),
    )?;
    for nanoseconds in [1_u64, u64::MAX / 2] {
        let when = net::control(
            libc::SOL_SOCKET,
            libc::SO_TXTIME,
            &nanoseconds.to_ne_bytes(),
        );
        socket.send(Some(ground.canary(ground.v4)), net::KNOCK, 0, &when)?;
    }
    socket.hear()
}
