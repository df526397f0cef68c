//! A personality makes every page that can be read a page that can be run, or maps the page at zero; each undoes what
//! keeps a broken program from being taken over.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "personality",
    tries: "personalities that weaken memory",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("personality"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    /// `READ_IMPLIES_EXEC`, `MMAP_PAGE_ZERO`, `ADDR_COMPAT_LAYOUT`, the first with high bits, and one of another system.
    const KINDS: [usize; 5] = [0x40_0000, 0x10_0000, 0x20_0000, 0x1_0040_0000, 0x6];
    let tried = KINDS.map(|kind| {
        let taken = sys::call(libc::SYS_personality, &[kind]);
        (format!("{kind:#x}"), Verdict::of(taken))
    });
    // What programs are started from here is to be as before.
    let _ = sys::call(libc::SYS_personality, &[0]);
    Verdict::any(tried)
}
