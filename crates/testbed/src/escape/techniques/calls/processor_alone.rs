//! One process may ask that nobody else runs beside it on a core, or for a table of locks of its own as large as it
//! likes.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "processor-alone",
    tries: "cores and kernel memory for itself alone",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["prctl (PR_SCHED_CORE)", "prctl (PR_FUTEX_HASH)"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SCHED_CORE: usize = 62;
    const CREATE: usize = 1;
    const FUTEX_HASH: usize = 78;
    const SET_SLOTS: usize = 1;
    const SLOTS: usize = 16;
    let core = sys::call(libc::SYS_prctl, &[SCHED_CORE, CREATE, 0, 0, 0]);
    let hash = sys::call(libc::SYS_prctl, &[FUTEX_HASH, SET_SLOTS, SLOTS, 0]);
    Verdict::any([
        ("core".into(), Verdict::of(core)),
        ("futex hash".into(), Verdict::of(hash)),
    ])
}
