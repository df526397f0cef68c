//! Modes can be locked: then nobody sets them back.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "locked-modes",
    tries: "lock the modes of the caller's terminal",
    wall: "terminal of its own; no capability",
    control: Control::Superuser,
    record: Record::Nothing(
        "the kernel refuses it to whoever has no capability, without a wall of ours",
    ),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCSLCKTRMIOS: usize = 0x5457;
    // Every bit of `struct termios`.
    let every = [0xff_u8; 64];
    did(STREAMS.map(|stream| {
        sys::call(libc::SYS_ioctl, &[stream, TIOCSLCKTRMIOS, sys::at(&every)]).map(drop)
    }))
}
