//! Since Linux 6.11 the descriptor of a process gives descriptors of its namespaces; from there lead others to their
//! owners and parents, and the rest of the kernel asks no more.

use std::os::fd::AsRawFd;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "namespaces-of-a-process",
    tries: "descriptors of the canary's namespaces, and of the parents of its own",
    wall: "process and user namespaces",
    control: Control::Caller,
    record: Record::Nothing("the kernel denies it by itself; no call of the table"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    /// `PIDFD_GET_CGROUP_NAMESPACE` and the nine after it.
    const FROM_PROCESS: std::ops::RangeInclusive<usize> = 0xff01..=0xff0a;
    /// `NS_GET_PARENT`.
    const PARENT: usize = 0xb702;
    let mut tried = Vec::new();
    for pid in [ground.pid as usize, 1] {
        let process = sys::call(libc::SYS_pidfd_open, &[pid, 0]).unwrap_or(-1);
        for request in FROM_PROCESS {
            let got = sys::call(libc::SYS_ioctl, &[process as usize, request, 0]);
            tried.push((format!("{request:#x} of {pid}"), Verdict::of(got)));
        }
    }
    let seen = std::fs::read_link(ground.proc("ns/net"));
    tried.push(("in /proc".to_owned(), Verdict::of(seen)));
    for kind in ["user", "pid"] {
        let parent = std::fs::File::open(format!("/proc/self/ns/{kind}"))
            .and_then(|own| sys::call(libc::SYS_ioctl, &[own.as_raw_fd() as usize, PARENT, 0]));
        tried.push((format!("parent of {kind}"), Verdict::of(parent)));
    }
    Verdict::any(tried)
}
