//! A terminal that is hung up ends everything that runs on it.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "hung-up",
    tries: "hang up the caller's terminal, by call and by request",
    wall: "terminal of its own; system calls; no capability",
    control: Control::Superuser,
    record: Record::Denied("vhangup"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCVHANGUP: usize = 0x5437;
    // To be there afterwards.
    let hang_up = 1_u64 << (libc::SIGHUP - 1);
    let how = libc::SIG_BLOCK as usize;
    let blocked = sys::call(libc::SYS_rt_sigprocmask, &[how, sys::at(&hang_up), 0, 8]);
    let requests = STREAMS.map(|stream| sys::call(libc::SYS_ioctl, &[stream, TIOCVHANGUP]));
    let all = requests
        .into_iter()
        .chain([sys::call(libc::SYS_vhangup, &[]), blocked]);
    did(all.map(|answer| answer.map(drop)))
}
