//! Keyrings belong to users, not to namespaces: what root's services keep there is a call away.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "keys",
    tries: "the kernel's keyrings: add, ask for, look at",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["add_key", "request_key", "keyctl"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const PROCESS_KEYRING: usize = -2_isize as usize;
    const GET_KEYRING_ID: usize = 0;
    const SESSION_KEYRING: usize = -3_isize as usize;
    let (kind, name) = (sys::at(c"user"), sys::at(c"escape"));
    let added = sys::call(
        libc::SYS_add_key,
        &[kind, name, sys::at(b"x"), 1, PROCESS_KEYRING],
    );
    let asked = sys::call(libc::SYS_request_key, &[kind, name, 0, 0]);
    let session = sys::call(libc::SYS_keyctl, &[GET_KEYRING_ID, SESSION_KEYRING, 1]);
    Verdict::any([
        ("add_key".into(), Verdict::of(added)),
        ("request_key".into(), Verdict::of(asked)),
        ("keyctl".into(), Verdict::of(session)),
    ])
}
