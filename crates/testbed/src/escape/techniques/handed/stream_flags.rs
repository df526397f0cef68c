//! Flags belong to the open file, which the caller shares: it would find its own socket not waiting any more, and sending
//! signals.

use super::STREAMS;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "stream-flags",
    tries: "have the caller's socket not wait, and send signals",
    wall: "sockets are relayed",
    control: Control::Caller,
    record: Record::Nothing("it may set the flags of its own pipes"),
    start: Start::Sockets,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let flags = (libc::O_NONBLOCK | libc::O_ASYNC) as usize;
    let set =
        STREAMS.map(|stream| sys::call(libc::SYS_fcntl, &[stream, libc::F_SETFL as usize, flags]));
    // Which file it was, its giver can tell.
    Verdict::Held(format!("not felt by the caller: {set:?}"))
}
