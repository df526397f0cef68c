//! Where the work directory lies on btrfs, kernels before 6.7 copy all of the subvolume around it into it, for whoever owns
//! a single file there: the host's root, readable through the id map of the mount. So snapshots are refused.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "subvolume-snapshot",
    tries: "a snapshot of the subvolume around the work directory, in the work directory",
    wall: "system calls",
    control: Control::Lacking("it takes btrfs, and a kernel that looks at the owner alone"),
    record: Record::DeniedEach(&[
        "ioctl (BTRFS_IOC_SNAP_CREATE)",
        "ioctl (BTRFS_IOC_SNAP_CREATE_V2)",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    /// `BTRFS_IOC_SNAP_CREATE` and its second version, and where each has the name of the snapshot.
    const WAYS: [(usize, usize); 2] = [(0x5000_9401, 8), (0x5000_9417, 56)];
    let directory = match sys::open(sys::own_directory(), libc::O_RDONLY) {
        Ok(directory) => directory,
        Err(cause) => return Verdict::Held(cause.to_string()),
    };
    Verdict::any(WAYS.map(|(request, name)| {
        // What is copied, by a descriptor of something in it.
        let mut order = vec![0_u8; 4096];
        order[..8].copy_from_slice(&(directory as u64).to_ne_bytes());
        order[name..name + 4].copy_from_slice(b"copy");
        let place = sys::at(order.as_slice());
        let made = sys::call(libc::SYS_ioctl, &[directory, request, place]);
        (format!("{request:#x}"), Verdict::of(made))
    }))
}
