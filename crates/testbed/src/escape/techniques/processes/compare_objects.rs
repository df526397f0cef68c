//! Whether two processes share an object tells where the kernel keeps it, and who is who.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "compare-objects",
    tries: "compare its own objects with the canary's",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("kcmp"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    const FILE: usize = 0;
    let own = std::process::id() as usize;
    let tried = [ground.pid as usize, 1, own].map(|other| {
        let compared = sys::call(libc::SYS_kcmp, &[own, other, FILE, 0, 0]);
        (format!("with {other}"), Verdict::of(compared))
    });
    Verdict::any(tried)
}
