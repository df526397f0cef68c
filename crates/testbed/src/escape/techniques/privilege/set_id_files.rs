//! A file that is set-user-id acts for its owner, for everyone on the host who can run it.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "set-id-files",
    tries: "a set-user-id or set-group-id file or directory, made in every way",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&[
        "chmod set-id",
        "fchmod set-id",
        "fchmodat set-id",
        "fchmodat2 set-id",
        "openat set-id",
        "mknodat set-id",
        "mkdirat set-id",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const HERE: usize = libc::AT_FDCWD as usize;
    const USER: usize = 0o4755;
    const GROUP: usize = 0o2755;
    let path = std::env::temp_dir().join(format!("set-id-{}", std::process::id()));
    let mut verdicts = Vec::new();
    let file = match std::fs::File::create(&path) {
        Ok(file) => file,
        Err(cause) => return Verdict::Held(cause.to_string()),
    };
    let name = match CString::new(path.as_os_str().as_encoded_bytes()) {
        Ok(name) => name,
        Err(cause) => return Verdict::Held(cause.to_string()),
    };
    let place = sys::at(name.as_c_str());
    let made = CString::new([name.as_bytes(), b".new"].concat()).unwrap_or_default();
    let new = sys::at(made.as_c_str());
    let create = (libc::O_CREAT | libc::O_WRONLY) as usize;
    for (what, number, arguments) in [
        // Of x86-64.
        ("chmod", 90, [place, USER, 0, 0]),
        (
            "fchmod",
            libc::SYS_fchmod,
            [file.as_raw_fd() as usize, GROUP, 0, 0],
        ),
        ("fchmodat", libc::SYS_fchmodat, [HERE, place, USER, 0]),
        ("fchmodat2", 452, [HERE, place, USER, 0]),
        ("openat", libc::SYS_openat, [HERE, new, create, USER]),
        (
            "mknodat",
            libc::SYS_mknodat,
            [HERE, new, 0o10_0000 | USER, 0],
        ),
        ("mkdirat", libc::SYS_mkdirat, [HERE, new, GROUP, 0]),
    ] {
        verdicts.push((what.to_owned(), Verdict::of(sys::call(number, &arguments))));
        // What a call made is in the way of the next; nothing is there where it was refused.
        let _ = sys::call(libc::SYS_unlinkat, &[HERE, new, 0]);
        let _ = sys::call(
            libc::SYS_unlinkat,
            &[HERE, new, libc::AT_REMOVEDIR as usize],
        );
    }
    let _ = std::fs::remove_file(&path);
    Verdict::any(verdicts)
}
