//! A socket of the host's network that listens is open to whoever reaches the host.

use super::STREAMS;
use crate::escape::net::Socket;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "stdio-listens",
    tries: "bind the socket that it has for a stream, and listen on it",
    wall: "sockets are relayed",
    control: Control::Caller,
    record: Record::Nothing("its streams are pipes; nothing is refused"),
    start: Start::Sockets,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let nobody = [0_u8; 16];
    Verdict::any(STREAMS.map(|stream| {
        let socket = Socket(stream);
        let listening = (|| {
            socket.connect_bytes(&nobody)?;
            // It may be bound already.
            let bound = socket.bind((ground.v4, 0).into());
            socket.listen()?;
            std::io::Result::Ok(format!("listens, {bound:?}"))
        })();
        (format!("stream {stream}"), Verdict::of(listening))
    }))
}
