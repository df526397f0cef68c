//! Whoever may set groups lets go of those that are kept from something, and takes others that are mapped.

use std::io::Write;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "allow-groups",
    tries: "to be allowed to set its groups, and to drop them",
    wall: "user namespace",
    control: Control::Root,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let allowed = std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/setgroups")
        .and_then(|mut file| file.write_all(b"allow"));
    let dropped = sys::call(libc::SYS_setgroups, &[0, 0]);
    Verdict::any([
        ("allowed".to_owned(), Verdict::of(allowed)),
        ("dropped".to_owned(), Verdict::of(dropped)),
    ])
}
