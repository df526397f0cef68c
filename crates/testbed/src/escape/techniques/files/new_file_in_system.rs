//! What a workload puts next to the programs of the host, others start.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "new-file-in-system",
    tries: "a new file in trees of the system",
    wall: "read-only mounts, Landlock",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    // Without a name: the control leaves nothing behind.
    let flags = libc::O_TMPFILE | libc::O_WRONLY;
    let places = [
        "/",
        "/etc",
        "/usr",
        "/usr/bin",
        "/usr/local/bin",
        "/usr/lib",
        "/opt",
        "/dev",
    ];
    Verdict::any(places.map(|path| (path.to_owned(), Verdict::of(sys::open(path, flags)))))
}
