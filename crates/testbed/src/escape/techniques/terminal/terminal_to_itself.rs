//! A terminal in exclusive use is opened by nobody any more, neither by a shell nor by a login.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "terminal-to-itself",
    tries: "have the caller's terminal to itself",
    wall: "terminal of its own",
    control: Control::Caller,
    record: Record::Nothing("it may have its own terminal to itself"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCEXCL: usize = 0x540c;
    did(STREAMS.map(|stream| sys::call(libc::SYS_ioctl, &[stream, TIOCEXCL]).map(drop)))
}
