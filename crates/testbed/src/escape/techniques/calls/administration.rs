//! What administrators do to a machine: swap, accounts, quotas, the kernel's log, the terminal of everybody. With
//! arguments that the kernel finds wrong before it asks who wants it, where that is possible.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "administration",
    tries: "swap, accounting, quotas, the kernel's log, hanging up",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&[
        "swapon",
        "swapoff",
        "acct",
        "quotactl",
        "quotactl_fd",
        "syslog",
        "vhangup",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const NO_SUCH_FLAG: usize = 1 << 30;
    const LOG_SIZE: usize = 10;
    let nowhere = sys::at(c"/nonexistent");
    let tries = [
        ("swapon", libc::SYS_swapon, [nowhere, NO_SUCH_FLAG]),
        ("swapoff", libc::SYS_swapoff, [nowhere, 0]),
        ("acct", libc::SYS_acct, [nowhere, 0]),
        ("quotactl", libc::SYS_quotactl, [usize::MAX, nowhere]),
        ("quotactl_fd", 443, [usize::MAX, 0]),
        ("syslog", libc::SYS_syslog, [LOG_SIZE, 0]),
    ];
    let hung_up = sys::in_child(|| Verdict::of(sys::call(libc::SYS_vhangup, &[])));
    let tried = tries.map(|(name, number, arguments)| {
        (
            name.to_owned(),
            Verdict::past(sys::call(number, &arguments)),
        )
    });
    Verdict::any(tried.into_iter().chain([("vhangup".to_owned(), hung_up)]))
}
