//! The newer calls make a mount without a place first, and put it somewhere later.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "new-mount-calls",
    tries: "a mount by the new calls",
    wall: "system calls",
    control: Control::Apart,
    record: Record::DeniedEach(&[
        "open_tree",
        "move_mount",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "open_tree_attr",
        "statmount",
        "listmount",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const HERE: usize = libc::AT_FDCWD as usize;
    const CLONE: usize = 1;
    const NONE: usize = usize::MAX;
    let root = sys::at(c"/");
    let empty = [0_usize; 16];
    let tries = [
        ("open_tree", libc::SYS_open_tree, [HERE, root, CLONE, 0, 0]),
        (
            "move_mount",
            libc::SYS_move_mount,
            [NONE, root, NONE, root, NONE],
        ),
        ("fsopen", libc::SYS_fsopen, [sys::at(c"tmpfs"), 0, 0, 0, 0]),
        ("fsconfig", libc::SYS_fsconfig, [NONE, 0, 0, 0, 0]),
        ("fsmount", libc::SYS_fsmount, [NONE, 0, 0, 0, 0]),
        ("fspick", libc::SYS_fspick, [HERE, root, 0, 0, 0]),
        (
            "mount_setattr",
            libc::SYS_mount_setattr,
            [HERE, root, 0, sys::at(&empty), 32],
        ),
        ("statmount", 457, [0; 5]),
        ("listmount", 458, [0; 5]),
        ("open_tree_attr", 467, [HERE, root, CLONE, 0, 0]),
    ];
    Verdict::any(tries.map(|(name, number, arguments)| {
        (
            name.to_owned(),
            Verdict::past(sys::call(number, &arguments)),
        )
    }))
}
