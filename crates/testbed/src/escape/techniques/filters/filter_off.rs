//! A filter is for ever, and its children have it.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "filter-off",
    tries: "the filter: off, strict, another mode",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Nothing("the kernel denies it by itself; no call of the table"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SET: usize = libc::PR_SET_SECCOMP as usize;
    for mode in [0, 3] {
        let _ = sys::call(libc::SYS_prctl, &[SET, mode, 0, 0, 0]);
    }
    let children = std::process::Command::new("/bin/cat")
        .arg("/proc/self/status")
        .output();
    let there = children.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let here = std::fs::read_to_string("/proc/self/status");
    Verdict::any(
        [("here", here), ("in a child", there)].map(|(name, status)| {
            let mode = status
                .as_deref()
                .unwrap_or_default()
                .lines()
                .find_map(|line| line.strip_prefix("Seccomp:").map(str::trim));
            let verdict = match mode {
                Some("2") => Verdict::Held("filtered".to_owned()),
                other => Verdict::Through(format!("mode {other:?}")),
            };
            (name.to_owned(), verdict)
        }),
    )
}
