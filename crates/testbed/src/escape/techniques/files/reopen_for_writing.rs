//! A descriptor that only reads, or that is a bare path, can be opened anew by `/proc/self/fd` with other rights.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "reopen-for-writing",
    tries: "a file that was opened for reading, opened anew for writing",
    wall: "read-only mounts, Landlock",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let ways = [("read", libc::O_RDONLY), ("bare path", libc::O_PATH)];
    Verdict::any(ways.map(|(way, flags)| {
        let opened = sys::open("/etc/hosts", flags)
            .and_then(|file| sys::open(format!("/proc/self/fd/{file}"), libc::O_RDWR));
        (way.to_owned(), Verdict::of(opened))
    }))
}
