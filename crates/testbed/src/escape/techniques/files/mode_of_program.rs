//! Landlock does not cover modes, owners and times of files. The mounts do. In the control a mode is set to what it
//! was.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "mode-of-program",
    tries: "mode and owner of a program of the host",
    wall: "read-only mounts",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let path = "/usr/bin/env";
    let mode = std::fs::metadata(path).map(|found| found.permissions());
    let changed = mode.and_then(|mode| std::fs::set_permissions(path, mode));
    let owned = std::os::unix::fs::chown(path, Some(0), Some(0));
    Verdict::any([
        ("mode".to_owned(), Verdict::of(changed)),
        ("owner".to_owned(), Verdict::of(owned)),
    ])
}
