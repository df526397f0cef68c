//! The flag that no program brings more than its caller has can be set, and never unset.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "no-new-privileges-off",
    tries: "no_new_privs, unset, and unset by a new program",
    wall: "no_new_privs",
    control: Control::Caller,
    record: Record::Nothing("the kernel denies it by itself; no call of the table"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SET: usize = libc::PR_SET_NO_NEW_PRIVS as usize;
    const GET: usize = libc::PR_GET_NO_NEW_PRIVS as usize;
    let _ = sys::call(libc::SYS_prctl, &[SET, 0, 0, 0, 0]);
    let here = sys::call(libc::SYS_prctl, &[GET, 0, 0, 0, 0]);
    let there = std::process::Command::new("/bin/sh")
        .args(["-c", "grep NoNewPrivs /proc/self/status"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match (here, there) {
        (Ok(1), Ok(there)) if there.ends_with('1') => {
            Verdict::Held("set, here and there".to_owned())
        }
        (here, there) => Verdict::Through(format!("{here:?} here, {there:?} in a program")),
    }
}
