//! A directory of the host that is open is a way into the host's tree, and up from there.

use super::{inherited, says, secret_in};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "inherited-directory",
    tries: "open files by every directory that was left open, and go there",
    wall: "descriptors closed",
    control: Control::Caller,
    record: Record::Nothing("there is no descriptor; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let found = inherited().into_iter().flat_map(|number| {
        let there = sys::call(libc::SYS_fchdir, &[number])
            .and_then(|_| sys::open("../outside/secret", libc::O_RDONLY))
            .and_then(says);
        [
            (format!("in {number}"), Verdict::of(secret_in(number))),
            (format!("from {number}"), Verdict::of(there)),
        ]
    });
    Verdict::any(found)
}
