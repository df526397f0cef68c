//! What is shown read-only is one call away from being writable.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "remount-writable",
    tries: "the system, and /proc/sys, writable again",
    wall: "system calls",
    control: Control::Apart,
    record: Record::Denied("mount"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const WRITABLE: usize = (libc::MS_REMOUNT | libc::MS_BIND) as usize;
    Verdict::any(
        [c"/usr", c"/", c"/proc/sys", c"/proc", c"/dev"].map(|place| {
            let target = sys::at(place);
            let changed = sys::call(libc::SYS_mount, &[0, target, 0, WRITABLE, 0]);
            (place.to_string_lossy().into_owned(), Verdict::of(changed))
        }),
    )
}
