//! Calls that kernels had once, or kept for one product. Where one is there after all, nobody has looked at it for
//! years.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "calls-long-gone",
    tries: "calls of old kernels",
    wall: "system calls",
    control: Control::Lacking("kernels of today do not have them"),
    record: Record::DeniedEach(&[
        "uselib",
        "_sysctl",
        "nfsservctl",
        "lookup_dcookie",
        "system call 174",
        "system call 236",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    // Numbers of x86-64, by name: uselib, _sysctl, create_module, get_kernel_syms, query_module, nfsservctl, getpmsg,
    // putpmsg, afs_syscall, tuxcall, security, lookup_dcookie, vserver.
    const GONE: [i64; 13] = [
        134, 156, 174, 177, 178, 180, 181, 182, 183, 184, 185, 212, 236,
    ];
    Verdict::any(GONE.map(|number| {
        let answer = sys::call(number, &[0; 6]);
        (format!("{number}"), Verdict::of(answer))
    }))
}
