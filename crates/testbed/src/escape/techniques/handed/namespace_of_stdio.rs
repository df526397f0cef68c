//! A socket gives the network namespace that it was made in to whoever may look after that.

use super::STREAMS;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "namespace-of-stdio",
    tries: "the host's network by the socket that it has for a stream",
    wall: "sockets are relayed; no capability",
    control: Control::Root,
    record: Record::Nothing("its streams are pipes; nothing is refused"),
    start: Start::Sockets,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SIOCGSKNS: usize = 0x894c;
    Verdict::any(STREAMS.map(|stream| {
        let door = sys::call(libc::SYS_ioctl, &[stream, SIOCGSKNS]);
        (format!("stream {stream}"), Verdict::of(door))
    }))
}
