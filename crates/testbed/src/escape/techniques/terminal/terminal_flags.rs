//! Flags belong to the open file, which a shell shares with what it starts: reads that do not wait end many a shell, and a
//! signal for each key can be had by whoever asks for it.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "terminal-flags",
    tries: "have the caller's reads not wait, and its keys send signals",
    wall: "terminal of its own",
    control: Control::Caller,
    record: Record::Nothing("it may set the flags of its own terminal"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let flags = (libc::O_NONBLOCK | libc::O_ASYNC) as usize;
    did(STREAMS.map(|stream| {
        sys::call(libc::SYS_fcntl, &[stream, libc::F_SETFL as usize, flags]).map(drop)
    }))
}
