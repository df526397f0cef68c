//! A file that cannot be removed any more, in a directory of the operator, is a nuisance that lasts.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "immutable-file",
    tries: "a file of its own, made immutable",
    wall: "no capability",
    control: Control::Superuser,
    record: Record::Nothing("ioctl is allowed; this one fails by itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    /// `FS_IOC_SETFLAGS`, and the bit.
    const SET_FLAGS: usize = 0x4008_6602;
    const IMMUTABLE: u64 = 0x10;
    let path = sys::own_directory().join("immutable-file");
    let made = std::fs::write(&path, "x").and_then(|()| {
        let file = sys::open(&path, libc::O_RDONLY)?;
        let set = |flags: u64| sys::call(libc::SYS_ioctl, &[file, SET_FLAGS, sys::at(&flags)]);
        set(IMMUTABLE)?;
        set(0)
    });
    // Whatever became of it.
    let _ = std::fs::remove_file(&path);
    Verdict::of(made)
}
