//! Whoever may write to a control group of version 1 names a program (`release_agent`) that the kernel starts as root
//! of the host; `cgroup.procs` lifts a bound. In the control they are opened, not written.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "control-groups",
    tries: "files of control groups, opened for writing",
    wall: "built root",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let groups = ["", "/unified", "/memory", "/cpu", "/pids", "/systemd"];
    let files = [
        "cgroup.procs",
        "release_agent",
        "notify_on_release",
        "tasks",
    ];
    let paths = groups
        .iter()
        .flat_map(|group| files.map(|file| format!("/sys/fs/cgroup{group}/{file}")));
    Verdict::any(paths.map(|path| {
        let opened = sys::open(&path, libc::O_WRONLY);
        (path, Verdict::of(opened))
    }))
}
