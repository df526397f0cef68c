//! The size belongs to the terminal; programs that it is wrong for draw over each other, and each change is a signal to them.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "terminal-size",
    tries: "change the size of the caller's terminal",
    wall: "terminal of its own",
    control: Control::Caller,
    record: Record::Nothing("it may set the size of its own terminal"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCSWINSZ: usize = 0x5414;
    let size = [1_u16, 2, 3, 4];
    did(STREAMS
        .map(|stream| sys::call(libc::SYS_ioctl, &[stream, TIOCSWINSZ, sys::at(&size)]).map(drop)))
}
