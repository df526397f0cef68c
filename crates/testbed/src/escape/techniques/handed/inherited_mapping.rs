//! Memory that is shared by a file needs no further call: it is read, and written, in place.

use super::inherited;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "inherited-mapping",
    tries: "map every file and memory file that was left open",
    wall: "descriptors closed",
    control: Control::Caller,
    record: Record::Nothing("there is no descriptor; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let map = |number: usize, rights: i32| {
        let shared = libc::MAP_SHARED as usize;
        sys::call(
            libc::SYS_mmap,
            &[0, 4096, rights as usize, shared, number, 0],
        )
    };
    Verdict::any(inherited().into_iter().flat_map(|number| {
        [libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ].map(|rights| {
            let what = format!("{number}, rights {rights}");
            (what, Verdict::of(map(number, rights)))
        })
    }))
}
