//! A connection that is closed hard before anyone accepts it. It leaves nothing to accept, but it was tried, and that
//! is told.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "reset-at-once",
    tries: "a connection that is reset at once",
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
    let socket = net::tcp(ground.v4)?;
    // On, and no time: closing is a reset.
    socket.set(
        libc::SOL_SOCKET,
        libc::SO_LINGER,
        &[1_i32, 0].map(i32::to_ne_bytes).concat(),
    )?;
    socket.connect(ground.canary(ground.v4))?;
    sys::call(libc::SYS_close, &[socket.0])?;
    Err(io::Error::other("nothing is heard of it"))
}
