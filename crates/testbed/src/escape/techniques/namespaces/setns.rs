//! A descriptor of a namespace is a door into it: from /proc, or of a process.

use std::os::fd::AsRawFd;

use super::FLAGS;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "setns",
    tries: "enter the canary's namespaces, those of process 1, its own",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("setns"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let mut tried = Vec::new();
    for who in [ground.pid.to_string(), "1".to_owned(), "self".to_owned()] {
        for kind in ["net", "mnt", "ipc", "uts", "pid", "user", "cgroup", "time"] {
            let path = format!("/proc/{who}/ns/{kind}");
            let entered = std::fs::File::open(&path)
                .and_then(|door| sys::call(libc::SYS_setns, &[door.as_raw_fd() as usize, 0]));
            tried.push((path, Verdict::of(entered)));
        }
    }
    for pid in [ground.pid as usize, 1] {
        let process = sys::call(libc::SYS_pidfd_open, &[pid, 0]).unwrap_or(-1);
        let every = FLAGS.iter().fold(0, |all, (_, flag)| all | flag);
        for flags in [
            libc::CLONE_NEWNET as usize,
            libc::CLONE_NEWIPC as usize,
            every,
        ] {
            let entered = sys::call(libc::SYS_setns, &[process as usize, flags]);
            tried.push((format!("process {pid}"), Verdict::of(entered)));
        }
    }
    Verdict::any(tried)
}
