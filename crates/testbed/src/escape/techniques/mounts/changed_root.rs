//! Whoever is root in a changed root and keeps a directory from outside open walks out by `..`; a pivot makes a root of
//! any directory.

use std::os::fd::AsRawFd;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "changed-root",
    tries: "another root: chroot and fchdir, pivot_root",
    wall: "system calls",
    control: Control::Apart,
    record: Record::DeniedEach(&["chroot", "pivot_root"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let outside = std::fs::File::open("/");
    let changed = sys::in_child(|| {
        let changed = sys::call(libc::SYS_chroot, &[sys::at(c"/tmp")]);
        if let (Ok(_), Ok(outside)) = (&changed, &outside) {
            // The directory is outside the new root, and so are all above it.
            let _ = sys::call(libc::SYS_fchdir, &[outside.as_raw_fd() as usize]);
            return Verdict::of(std::fs::read_dir("usr").map(|_| "outside of the root"));
        }
        Verdict::of(changed)
    });
    let pivot = sys::call(libc::SYS_pivot_root, &[sys::at(c"/"), sys::at(c"/")]);
    Verdict::any([
        ("chroot".into(), changed),
        ("pivot_root".into(), Verdict::past(pivot)),
    ])
}
