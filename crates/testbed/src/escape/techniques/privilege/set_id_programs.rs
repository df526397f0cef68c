//! Programs that the host has made set-user-id root are visible inside: su, mount, newuidmap. Without the flags of the
//! mounts and no_new_privs, each would start as root of something.

use std::process::{Command, Stdio};

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "set-id-programs",
    tries: "a set-user-id program of the host, and what it may do",
    wall: "no_new_privs and nosuid",
    control: Control::Root,
    record: Record::Nothing("the program starts, with nothing more than its caller"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const PROGRAMS: &[&str] = &[
        "su",
        "mount",
        "umount",
        "passwd",
        "newgrp",
        "chsh",
        "sudo",
        "newuidmap",
    ];
    let mut tried = Vec::new();
    for program in PROGRAMS {
        // It stays in its own first system call until it is looked at: it is stopped by what it reads from.
        let started = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(cause) => {
                tried.push(((*program).to_owned(), Verdict::Held(cause.to_string())));
                continue;
            }
        };
        // Shown by a process that has ended as well, until it is waited for.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let capable = status
            .map_err(|cause| cause.to_string())
            .and_then(|status| {
                sys::capabilities(&status).ok_or_else(|| "no capability".to_owned())
            });
        tried.push(((*program).to_owned(), Verdict::of(capable)));
        // Ended by now, or ended here.
        let _ = child.kill();
        let _ = child.wait();
    }
    Verdict::any(tried)
}
