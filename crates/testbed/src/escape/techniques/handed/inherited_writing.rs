//! A file outside that is open for writing can be written to.

use super::inherited;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "inherited-writing",
    tries: "write to every file that was left open, cut it, make it longer",
    wall: "descriptors closed",
    control: Control::Caller,
    record: Record::Nothing("there is no descriptor; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let text = b"written from inside";
    let mut tried = Vec::new();
    for number in inherited() {
        let written = sys::call(libc::SYS_pwrite64, &[number, sys::at(text), text.len()]);
        let longer = sys::call(libc::SYS_ftruncate, &[number, 4096]);
        tried.push((format!("into {number}"), Verdict::of(written)));
        tried.push((format!("length of {number}"), Verdict::of(longer)));
    }
    Verdict::any(tried)
}
