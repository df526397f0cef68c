//! A process of the host that cooperates can send anything it has open by a Unix socket: files, directories, sockets of the
//! host's network.

use std::os::fd::AsRawFd;

use super::{STREAMS, rights_by, says, secret_in};
use crate::escape::net::Socket;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "descriptors-by-stdin",
    tries: "take descriptors that a process of the host sends by the stream, and use them",
    wall: "sockets are relayed",
    control: Control::Caller,
    record: Record::Nothing("its streams are pipes; nothing is refused"),
    start: Start::Sockets,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::any(STREAMS.map(|stream| {
        let used = rights_by(stream).map(|rights| {
            let number = |right: &std::os::fd::OwnedFd| right.as_raw_fd() as usize;
            let used: Vec<String> = rights
                .iter()
                .map(number)
                .map(|right| {
                    let file = says(right);
                    let directory = secret_in(right);
                    let socket = Socket(right).call(ground.canary(ground.v4));
                    format!("{file:?}, {directory:?}, {socket:?}")
                })
                .collect();
            used.join("; ")
        });
        (format!("stream {stream}"), Verdict::of(used))
    }))
}
