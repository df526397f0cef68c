//! A descriptor of a process is that process wherever it is, in whatever numbers: it can be signalled, and its files taken.

use super::inherited;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "inherited-process",
    tries: "signal every process whose descriptor was left open, take its files",
    wall: "descriptors closed",
    control: Control::Caller,
    record: Record::Nothing("there is no descriptor; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::any(inherited().into_iter().flat_map(|number| {
        let signal = libc::SIGUSR1 as usize;
        let signalled = sys::call(libc::SYS_pidfd_send_signal, &[number, signal]);
        let taken = sys::call(libc::SYS_pidfd_getfd, &[number]);
        [
            (format!("signal by {number}"), Verdict::of(signalled)),
            (format!("files by {number}"), Verdict::of(taken)),
        ]
    }))
}
