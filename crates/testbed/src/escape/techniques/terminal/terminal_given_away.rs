//! Whoever may open the file of a terminal reads what is typed there. It belongs to the user, and a descriptor is enough to
//! change its mode.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "terminal-given-away",
    tries: "open the caller's terminal to everybody, give it to another user",
    wall: "terminal of its own",
    control: Control::Caller,
    record: Record::Nothing("it may change the mode of its own terminal"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    did(STREAMS.into_iter().flat_map(|stream| {
        [
            sys::call(libc::SYS_fchmod, &[stream, 0o666]).map(drop),
            sys::call(libc::SYS_fchown, &[stream, 12345, 12345]).map(drop),
        ]
    }))
}
