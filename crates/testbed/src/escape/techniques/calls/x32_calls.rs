//! The x32 table uses the 64-bit entry with one bit set in the number. A filter that compares numbers does not know
//! them.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "x32-calls",
    tries: "x32 calls",
    wall: "system calls",
    control: Control::Lacking("most kernels are built without x32, this one too"),
    record: Record::DeniedEach(&["x32 call 41", "x32 call 272"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const X32: i64 = 0x4000_0000;
    let packet = [libc::AF_PACKET as usize, libc::SOCK_RAW as usize];
    let socket = sys::call(X32 + 41, &packet);
    let unshare = sys::call(X32 + 272, &[0]);
    Verdict::any([
        ("socket".into(), Verdict::of(socket)),
        ("unshare".into(), Verdict::of(unshare)),
    ])
}
