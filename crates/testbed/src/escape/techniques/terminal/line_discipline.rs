//! A line discipline decides what a terminal's bytes mean. With another one a shell's terminal is none any more, and each of
//! them is a piece of the kernel with a history.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "line-discipline",
    tries: "give the caller's terminal another line discipline",
    wall: "terminal of its own; system calls",
    control: Control::Caller,
    record: Record::Denied("TIOCSETD"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCSETD: usize = 0x5423;
    // SLIP, PPP, HDLC, GSM: for what is loaded. The last one is always there, and takes and gives nothing.
    let disciplines = [1_i32, 3, 13, 21, 27];
    did(disciplines.into_iter().flat_map(|discipline| {
        STREAMS.map(|stream| {
            sys::call(libc::SYS_ioctl, &[stream, TIOCSETD, sys::at(&discipline)]).map(drop)
        })
    }))
}
