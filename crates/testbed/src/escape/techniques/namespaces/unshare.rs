//! A namespace of one's own brings its capabilities with it: with a user namespace one is root in it, and far more of
//! the kernel listens to root.

use crate::escape::prelude::*;

use super::FLAGS;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "unshare",
    tries: "namespaces of its own, each kind and all at once",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("unshare"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::any(FLAGS.map(|(name, flag)| {
        let made = sys::in_child(|| Verdict::of(sys::call(libc::SYS_unshare, &[flag])));
        (name.to_owned(), made)
    }))
}
