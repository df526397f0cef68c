//! Old and new calls that tell of the whole machine: every file system by its number, its kinds, its security modules,
//! and which files are in memory.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-facts",
    tries: "what the host has mounted, loaded and read",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&[
        "ustat",
        "sysfs",
        "cachestat",
        "lsm_list_modules",
        "lsm_get_self_attr",
        "lsm_set_self_attr",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    // Calls of x86-64; elsewhere the same numbers are harmless ones.
    const USTAT: i64 = 136;
    const SYSFS: i64 = 139;
    const COUNT_KINDS: usize = 3;
    let mut answer = [0_u8; 256];
    let place = sys::at_mut(&mut answer);
    let mut tried: Vec<_> = (0..64)
        .map(|device| {
            let found = sys::call(USTAT, &[device, place]);
            (format!("ustat {device}"), Verdict::of(found))
        })
        .collect();
    for (name, number, arguments) in [
        ("sysfs", SYSFS, [COUNT_KINDS, 0, 0, 0]),
        ("cachestat", 451, [usize::MAX, place, place, 0]),
        ("lsm_get_self_attr", 459, [0, place, place, 0]),
        ("lsm_set_self_attr", 460, [0, place, 0, 0]),
        ("lsm_list_modules", 461, [place, place, 1, 0]),
    ] {
        tried.push((name.into(), Verdict::past(sys::call(number, &arguments))));
    }
    Verdict::any(tried)
}
