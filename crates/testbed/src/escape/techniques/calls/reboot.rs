//! The end of the machine, or another kernel in its place. Nothing happens without the magic numbers, which are wrong
//! here; the kernel asks for the right first.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "reboot",
    tries: "reboot, and another kernel",
    wall: "system calls",
    control: Control::Root,
    record: Record::DeniedEach(&["reboot", "kexec_load", "kexec_file_load"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const NOT_MAGIC: usize = 1;
    let none = usize::MAX;
    let reboot = sys::call(libc::SYS_reboot, &[NOT_MAGIC, NOT_MAGIC, 0]);
    // No segments and no descriptors: nothing is loaded anywhere.
    let load = sys::call(libc::SYS_kexec_load, &[0, none, 0, none]);
    let load_file = sys::call(libc::SYS_kexec_file_load, &[none, none, 0, 0, none]);
    Verdict::any([
        ("reboot".into(), Verdict::past(reboot)),
        ("kexec_load".into(), Verdict::of(load)),
        ("kexec_file_load".into(), Verdict::of(load_file)),
    ])
}
