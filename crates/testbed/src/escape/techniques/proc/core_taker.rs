//! Where `kernel.core_pattern` names a program, the kernel starts it outside, as root, for every crash, and gives it
//! the memory of the crashed one. A limit of 0 does not stop that, a limit of 1 does. So whoever sets it lower has
//! opened a door.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "core-taker",
    tries: "a limit on core dumps other than 1, which alone keeps a program of the host from being started",
    wall: "resource limits, system calls",
    control: Control::Caller,
    record: Record::Nothing("programs that want no core dump are told yes, which is true"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let none = [0_u64; 2];
    let (core, place) = (libc::RLIMIT_CORE as usize, sys::at(&none));
    let own = std::process::id() as usize;
    // Each may be refused: what counts is what it comes to.
    let _ = sys::call(libc::SYS_prlimit64, &[0, core, place]);
    let _ = sys::call(libc::SYS_prlimit64, &[own, core | 1 << 32, place]);
    #[cfg(target_arch = "x86_64")]
    let _ = sys::call(libc::SYS_setrlimit, &[core, place]);
    let mut now = [0_u64; 2];
    let asked = sys::call(libc::SYS_prlimit64, &[0, core, 0, sys::at_mut(&mut now)]);
    match (asked, now) {
        (Ok(_), [1, _]) => Verdict::Held("it stays 1".into()),
        (Ok(_), [limit, _]) => Verdict::Through(format!("it is {limit}")),
        (Err(cause), _) => Verdict::Held(cause.to_string()),
    }
}
