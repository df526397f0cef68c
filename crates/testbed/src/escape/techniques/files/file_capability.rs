//! A program with capabilities of its own gives them to whoever starts it, on the host as well.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "file-capability",
    tries: "a program of its own with capabilities",
    wall: "no capability",
    control: Control::Superuser,
    record: Record::Nothing("setxattr is allowed; this one fails by itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    // Version 2, all permitted and effective.
    let value: [u32; 5] = [0x0200_0001, u32::MAX, 0, u32::MAX, 0];
    let path = sys::own_directory().join("file-capability");
    let made = std::fs::write(&path, "x").and_then(|()| {
        let (path, name) = (sys::c_path(&path), sys::c_path("security.capability"));
        let (path, name) = (
            sys::at(path.to_bytes_with_nul()),
            sys::at(name.to_bytes_with_nul()),
        );
        sys::call(
            libc::SYS_setxattr,
            &[path, name, sys::at(&value), size_of_val(&value), 0],
        )
    });
    // Whatever became of it.
    let _ = std::fs::remove_file(&path);
    Verdict::of(made)
}
