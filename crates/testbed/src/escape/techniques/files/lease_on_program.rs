//! A lease on a file holds up whoever opens it for writing, for 45 seconds, again and again. It takes the file's
//! owner or a capability.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "lease-on-program",
    tries: "a lease on a program of the host",
    wall: "own user, no capability",
    control: Control::Superuser,
    record: Record::Nothing("fcntl is allowed; this one fails by itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let leased = sys::open("/usr/bin/env", libc::O_RDONLY).and_then(|file| {
        sys::call(
            libc::SYS_fcntl,
            &[file, libc::F_SETLEASE as usize, libc::F_RDLCK as usize],
        )
    });
    Verdict::of(leased)
}
