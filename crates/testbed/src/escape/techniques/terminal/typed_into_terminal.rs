//! A byte put into a terminal's input is read by whoever reads there next: the shell that started Ringfence.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "typed-into-terminal",
    tries: "type a command into the caller's terminal",
    wall: "terminal of its own; system calls",
    control: Control::Caller,
    record: Record::Denied("TIOCSTI"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCSTI: usize = 0x5412;
    did(STREAMS.map(|stream| {
        let mut bytes = b"id\n".iter();
        bytes.try_for_each(|byte| {
            let put = sys::call(libc::SYS_ioctl, &[stream, TIOCSTI, sys::at(byte)]);
            put.map(drop)
        })
    }))
}
