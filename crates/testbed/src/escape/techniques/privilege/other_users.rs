//! User 0 inside is one user of the host under another number. Were a second number mapped, it could become that user.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-users",
    tries: "another user, another group, more groups",
    wall: "user namespace",
    control: Control::Root,
    record: Record::Nothing("the kernel denies it by itself; no call of the table"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let other = 12_345;
    let groups = [other as u32, 0];
    let tries = [
        // Capabilities are to stay when the user changes.
        (
            "keep capabilities",
            libc::SYS_prctl,
            [libc::PR_SET_KEEPCAPS as usize, 1, 0],
        ),
        ("setgroups", libc::SYS_setgroups, [2, sys::at(&groups), 0]),
        ("no groups", libc::SYS_setgroups, [0, 0, 0]),
        ("setresgid", libc::SYS_setresgid, [other, other, other]),
        ("setregid", libc::SYS_setregid, [other, other, 0]),
        ("setgid", libc::SYS_setgid, [other, 0, 0]),
        ("setresuid", libc::SYS_setresuid, [other, other, other]),
        ("setreuid", libc::SYS_setreuid, [other, other, 0]),
        ("setuid", libc::SYS_setuid, [other, 0, 0]),
    ];
    let tried = tries.map(|(name, number, arguments)| {
        // Each in a process of its own: the first that worked would be the end of the others.
        let became = sys::in_child(|| Verdict::of(sys::call(number, &arguments)));
        (name.to_owned(), became)
    });
    // It answers with who was asked for before, whatever came of it.
    let file_user = sys::in_child(|| {
        let _ = sys::call(libc::SYS_setfsuid, &[other]);
        match sys::call(libc::SYS_setfsuid, &[usize::MAX]) {
            Ok(now) if now == other as i64 => Verdict::Through("setfsuid".to_owned()),
            answer => Verdict::Held(format!("{answer:?}")),
        }
    });
    let own = ("setfsuid".to_owned(), file_user);
    Verdict::any(tried.into_iter().chain([own]))
}
