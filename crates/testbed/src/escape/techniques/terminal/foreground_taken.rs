//! The group in the foreground gets what is typed, and Ctrl-C. Others are stopped when they read.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "foreground-taken",
    tries: "put a group of its own into the foreground of the caller's terminal",
    wall: "terminal of its own",
    control: Control::Caller,
    record: Record::Nothing("it may choose who is in the foreground of its own terminal"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCSPGRP: usize = 0x5410;
    did(STREAMS.map(|stream| {
        let child = sys::sleeping_child()?;
        let pid = child.pid.unsigned_abs() as usize;
        sys::call(libc::SYS_setpgid, &[pid, pid])?;
        sys::call(libc::SYS_ioctl, &[stream, TIOCSPGRP, sys::at(&child.pid)]).map(drop)
    }))
}
