//! A program may have its own calls sent back to it as signals, before any filter is asked, and let them through one by
//! one.

use std::sync::atomic::AtomicU8;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "user-dispatch",
    tries: "its own calls dispatched to itself, then let through",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("keyctl"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SET: usize = 59;
    const ON: usize = 1;
    const SESSION_KEYRING: usize = -3_isize as usize;
    // One byte says whether calls are dispatched; zero is no. It is looked at until the end.
    static SELECTOR: AtomicU8 = AtomicU8::new(0);
    let _ = sys::call(libc::SYS_prctl, &[SET, ON, 0, 0, sys::at(&SELECTOR)]);
    Verdict::of(sys::call(libc::SYS_keyctl, &[0, SESSION_KEYRING, 1]))
}
