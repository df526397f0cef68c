//! A connection of the host that was left open speaks for the host, and brings what is sent by it.

use super::{inherited, rights_by};
use crate::escape::net::Socket;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "inherited-socket",
    tries: "speak by every socket that was left open, take descriptors from it",
    wall: "descriptors closed",
    control: Control::Caller,
    record: Record::Nothing("there is no descriptor; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::any(inherited().into_iter().flat_map(|number| {
        let spoken = Socket(number).send(None, b"knock", libc::MSG_DONTWAIT, &[]);
        [
            (format!("by {number}"), Verdict::of(spoken)),
            (format!("from {number}"), Verdict::of(rights_by(number))),
        ]
    }))
}
