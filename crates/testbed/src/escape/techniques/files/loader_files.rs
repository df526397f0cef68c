//! Programs load what these name: libraries, name services, converters of characters, shell profiles. In the control
//! they are opened, not written.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "loader-files",
    tries: "files by which other programs load code, opened for writing",
    wall: "read-only mounts, Landlock",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let files = [
        "/etc/ld.so.cache",
        "/etc/ld.so.preload",
        "/etc/nsswitch.conf",
        "/etc/passwd",
        "/etc/hosts",
        "/etc/profile",
        "/etc/bash.bashrc",
        "/etc/resolv.conf",
        "/etc/ssl/openssl.cnf",
        "/usr/lib/locale/C.utf8/LC_CTYPE",
        "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules",
    ];
    Verdict::any(files.map(|path| {
        (
            path.to_owned(),
            Verdict::of(sys::open(path, libc::O_WRONLY)),
        )
    }))
}
