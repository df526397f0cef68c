//! Of two filters that both leave a call to a listener, the newer is asked, and a listener may let the call continue:
//! past the older filter. The kernel has one listener at a time per process, which is ours until our launcher ends.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "own-listener",
    tries: "a listener of its own, which would let calls continue",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("seccomp with a listener"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    sys::no_new_privileges();
    let every_call = [sys::verdict(libc::SECCOMP_RET_ALLOW)];
    let flags = [
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_TSYNC | (1 << 4),
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | (1 << 5),
    ];
    Verdict::any(flags.map(|flags| {
        let listener = sys::install_filter(&every_call, flags as usize);
        (format!("flags {flags:#x}"), Verdict::of(listener))
    }))
}
