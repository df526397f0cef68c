//! A node of one's own for a device of the host is as good as the host's. Making one takes a capability in the first
//! namespace, and no tree of a workload lets nodes work.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "make-device",
    tries: "nodes for the memory, a disk and the console of the host, made by itself",
    wall: "no capability, nodev",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let (block, character) = (libc::S_IFBLK as usize, libc::S_IFCHR as usize);
    let devices = [
        ("memory", character, (1 << 8) | 1),
        ("null", character, (1 << 8) | 3),
        ("console", character, (5 << 8) | 1),
        ("loop", block, 7 << 8),
        ("disk", block, 254 << 8),
    ];
    let places = [sys::own_directory(), "/tmp".into(), "/dev/shm".into()];
    let tries = places
        .iter()
        .flat_map(|place| devices.map(|device| (place, device)));
    Verdict::any(tries.map(|(place, (what, kind, number))| {
        let path = place.join(format!("made-{what}-{}", std::process::id()));
        let name = sys::c_path(&path);
        let made = sys::call(
            libc::SYS_mknod,
            &[sys::at(name.to_bytes_with_nul()), kind | 0o600, number],
        );
        // Whatever became of it.
        let _ = std::fs::remove_file(&path);
        (path.display().to_string(), Verdict::of(made))
    }))
}
