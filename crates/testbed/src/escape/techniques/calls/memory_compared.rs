//! The kernel may merge equal pages of different programs. Writing to a merged one is slow, and so tells that somebody
//! else holds the same: a key, say, guessed page by page.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "memory-compared",
    tries: "have its memory merged with that of others",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&[
        "madvise (MADV_MERGEABLE)",
        "process_madvise (MADV_MERGEABLE)",
        "prctl (PR_SET_MEMORY_MERGE)",
        "madvise (MADV_SOFT_OFFLINE)",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const MERGEABLE: usize = 12;
    const SOFT_OFFLINE: usize = 101;
    const SET_MEMORY_MERGE: usize = 67;
    const HIGH: usize = 1 << 32;
    // The address space's end: no memory is there, and nothing is taken out of use.
    const NO_MEMORY: [usize; 2] = [0, 0];
    let tries = [
        ("madvise", libc::SYS_madvise, [0, 0, MERGEABLE, 0]),
        (
            "with high bits",
            libc::SYS_madvise,
            [0, 0, MERGEABLE | HIGH, 0],
        ),
        ("out of use", libc::SYS_madvise, [0, 0, SOFT_OFFLINE, 0]),
        ("prctl", libc::SYS_prctl, [SET_MEMORY_MERGE, 1, 0, 0]),
        (
            "process_madvise",
            libc::SYS_process_madvise,
            [usize::MAX, sys::at(&NO_MEMORY), 1, MERGEABLE],
        ),
    ];
    Verdict::any(tries.map(|(name, number, arguments)| {
        (name.to_owned(), Verdict::of(sys::call(number, &arguments)))
    }))
}
