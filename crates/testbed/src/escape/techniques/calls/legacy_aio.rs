//! The kernel has one pool of requests for asynchronous reads and writes, for the whole machine; the first call may
//! take it whole, and then no database of the host starts any more.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "legacy-aio",
    tries: "requests out of the host's one pool for asynchronous reads",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("io_setup"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let mut context = 0_usize;
    let made = sys::call(libc::SYS_io_setup, &[1, sys::at_mut(&mut context)]);
    let verdict = Verdict::of(made);
    // Given back at once, where it was had; its end would do the same.
    let _ = sys::call(libc::SYS_io_destroy, &[context]);
    verdict
}
