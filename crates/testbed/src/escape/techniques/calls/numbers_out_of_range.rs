//! Numbers that the table does not have: after its end, in its gaps, below zero. Whatever a kernel may have there one
//! day is refused until somebody has looked at it.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "numbers-out-of-range",
    tries: "system calls that nobody knows",
    wall: "system calls",
    control: Control::Lacking("no kernel has them yet"),
    record: Record::DeniedEach(&[
        "system call 400",
        "system call 500",
        "system call 1000",
        "system call -2",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    // x86-64 leaves room here, and had x32 there.
    let ranges = (337..424).chain(470..560);
    let single = [1000, 4096, 0x7fff_ffff, -1, -2, i64::from(i32::MIN)];
    let tried = ranges.chain(single).map(|number| {
        let answer = sys::call(number, &[0; 6]);
        (format!("{number}"), Verdict::of(answer))
    });
    match Verdict::any(tried) {
        Verdict::Held(_) => Verdict::Held("every one".to_owned()),
        through => through,
    }
}
