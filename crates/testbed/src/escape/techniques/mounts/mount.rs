//! A file system of one's own over a directory replaces what is there; a mount of the host's device shows all of it.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "mount",
    tries: "mount, and unmount",
    wall: "system calls",
    control: Control::Apart,
    record: Record::DeniedEach(&["mount", "umount2"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let (kind, place) = (sys::at(c"tmpfs"), sys::at(c"/tmp"));
    let mounted = sys::call(libc::SYS_mount, &[kind, place, kind, 0, 0]);
    let unmounted = sys::call(
        libc::SYS_umount2,
        &[sys::at(c"/proc"), libc::MNT_DETACH as usize],
    );
    Verdict::any([
        ("mount".into(), Verdict::of(mounted)),
        ("umount2".into(), Verdict::of(unmounted)),
    ])
}
