//! A datagram's address is given with it, whatever its socket is connected to.

use super::STREAMS;
use crate::escape::net::Socket;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sent-elsewhere",
    tries: "send a datagram to the canary by the socket that it has for a stream",
    wall: "sockets are relayed",
    control: Control::Caller,
    record: Record::Nothing("its streams are pipes; nothing is refused"),
    start: Start::Sockets,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::any(STREAMS.map(|stream| {
        let loopback = std::net::Ipv4Addr::LOCALHOST;
        let sent = Socket(stream).send(Some(ground.canary(loopback)), b"knock", 0, &[]);
        (format!("stream {stream}"), Verdict::of(sent))
    }))
}
