//! The null device is one file for the host and all compartments: its times are a blackboard between them, and its
//! mode is the host's.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "touch-device",
    tries: "times of device nodes of the host",
    wall: "read-only mounts",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::any(["null", "zero", "full", "random", "tty"].map(|name| {
        let path = sys::c_path(format!("/dev/{name}"));
        let here = libc::AT_FDCWD as usize;
        let touched = sys::call(
            libc::SYS_utimensat,
            &[here, sys::at(path.to_bytes_with_nul()), 0, 0],
        );
        (name.to_owned(), Verdict::of(touched))
    }))
}
