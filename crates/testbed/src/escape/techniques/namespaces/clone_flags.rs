//! The same by making a process in them.

use crate::escape::prelude::*;

use super::FLAGS;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "clone-flags",
    tries: "a child in namespaces of its own",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("clone"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const HIGH: usize = 0x5555 << 32;
    let with_high_bits = FLAGS.map(|(name, flag)| (name, flag | HIGH));
    let tried = FLAGS.into_iter().chain(with_high_bits);
    // `CLONE_NEWTIME` is a signal's bit to this call.
    let tried = tried.filter(|(_, flag)| flag & 0xff == 0);
    Verdict::any(tried.map(|(name, flag)| {
        let made = sys::clone(flag);
        (name.to_owned(), Verdict::of(made))
    }))
}
