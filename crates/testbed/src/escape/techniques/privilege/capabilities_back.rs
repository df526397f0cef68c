//! What was dropped may come back: from the bounding set by a program, from the ambient set, from bits that make user 0
//! root again.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "capabilities-back",
    tries: "capabilities: raise them, keep them, find one left",
    wall: "empty sets, locked bits",
    control: Control::Caller,
    record: Record::Nothing("the kernel denies it by itself; no call of the table"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SET_SECUREBITS: usize = libc::PR_SET_SECUREBITS as usize;
    const KEEP_CAPS: usize = libc::PR_SET_KEEPCAPS as usize;
    const AMBIENT: usize = libc::PR_CAP_AMBIENT as usize;
    const RAISE: usize = libc::PR_CAP_AMBIENT_RAISE as usize;
    const READ_BOUNDING: usize = libc::PR_CAPBSET_READ as usize;
    const SYS_ADMIN: usize = 21;
    // Version 3, this process; effective, permitted and inheritable, twice.
    let header = [0x2008_0522_u32, 0];
    let every = [u32::MAX; 6];
    let prctl = |arguments: [usize; 4]| sys::call(libc::SYS_prctl, &arguments);
    let bounding = (0..41)
        .filter(|capability| matches!(prctl([READ_BOUNDING, *capability, 0, 0]), Ok(1)))
        .count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Verdict::any([
        (
            "capset".into(),
            Verdict::of(sys::call(
                libc::SYS_capset,
                &[sys::at(&header), sys::at(&every)],
            )),
        ),
        (
            "held".into(),
            Verdict::of(sys::capabilities(&status).ok_or("none")),
        ),
        (
            "ambient".into(),
            Verdict::of(prctl([AMBIENT, RAISE, SYS_ADMIN, 0])),
        ),
        (
            "securebits".into(),
            Verdict::of(prctl([SET_SECUREBITS, 0, 0, 0])),
        ),
        ("keep".into(), Verdict::of(prctl([KEEP_CAPS, 1, 0, 0]))),
        (
            "bounding".into(),
            match bounding {
                0 => Verdict::Held("empty".to_owned()),
                count => Verdict::Through(format!("{count} in the bounding set")),
            },
        ),
    ])
}
