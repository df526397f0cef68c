//! Filters are asked one after the other, and the strictest answer counts. A filter of one's own that allows, traces or
//! asks somebody who is not there must not soften ours.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "own-filter",
    tries: "filters of its own that let everything pass",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("socket AF_PACKET"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    sys::no_new_privileges();
    let packet = [libc::AF_PACKET as usize, libc::SOCK_RAW as usize];
    let answers = [
        ("allow", libc::SECCOMP_RET_ALLOW),
        ("log", libc::SECCOMP_RET_LOG),
        ("trace", libc::SECCOMP_RET_TRACE),
        ("user notification", libc::SECCOMP_RET_USER_NOTIF),
    ];
    Verdict::any(answers.map(|(name, answer)| {
        let softened = sys::in_child(|| {
            let filter = [
                sys::load_number(),
                sys::skip_unless(libc::SYS_socket as u32),
                sys::verdict(answer),
                sys::verdict(libc::SECCOMP_RET_ALLOW),
            ];
            let installed = sys::install_filter(&filter, 0);
            match installed.and_then(|_| sys::call(libc::SYS_socket, &packet)) {
                Ok(socket) => Verdict::Through(format!("socket {socket}")),
                Err(cause) => Verdict::Held(cause.to_string()),
            }
        });
        (name.to_owned(), softened)
    }))
}
