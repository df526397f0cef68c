//! A socket belongs to the network that it was made in. One of the host's, taken off its peer, can be connected to anything
//! that the host reaches.

use std::net::Ipv4Addr;

use super::STREAMS;
use crate::escape::net::Socket;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "connected-anew",
    tries: "connect the socket that it has for a stream to the canary",
    wall: "sockets are relayed",
    control: Control::Caller,
    record: Record::Nothing("its streams are pipes; nothing is refused"),
    start: Start::Sockets,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    // `AF_UNSPEC`: of no peer any more.
    let nobody = [0_u8; 16];
    Verdict::any(STREAMS.into_iter().map(|stream| {
        let socket = Socket(stream);
        let called = socket
            .connect_bytes(&nobody)
            .and_then(|()| socket.call(ground.canary(Ipv4Addr::LOCALHOST)));
        (format!("stream {stream}"), Verdict::of(called))
    }))
}
