//! A program in memory has no path, no mount and no owner. It may be run, as any other; what is asked here is whether
//! it is any freer.

use std::ffi::CString;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "program-in-memory",
    tries: "a program from memory, by its descriptor, that asks for a namespace",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("unshare"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let program = match std::fs::read("/usr/bin/unshare") {
        Ok(program) => program,
        Err(cause) => return Verdict::Held(cause.to_string()),
    };
    // A user namespace is what an ordinary user gets, a mount namespace what root does.
    Verdict::any(["--user", "--mount"].map(|kind| {
        let run = sys::in_child(|| {
            let memory = sys::call(libc::SYS_memfd_create, &[sys::at(c"program"), 0]).unwrap_or(-1);
            let written = sys::call(
                libc::SYS_write,
                &[memory as usize, sys::at(program.as_slice()), program.len()],
            );
            let kind = CString::new(kind).unwrap_or_default();
            let words = [
                sys::at(c"unshare"),
                sys::at(kind.as_c_str()),
                sys::at(c"echo"),
                sys::at(c"\nverdict through: a namespace"),
                0,
            ];
            let path = [sys::at(c"PATH=/usr/bin:/bin"), 0];
            let ran = sys::call(
                libc::SYS_execveat,
                &[
                    memory as usize,
                    sys::at(c""),
                    sys::at(&words),
                    sys::at(&path),
                    libc::AT_EMPTY_PATH as usize,
                ],
            );
            Verdict::Held(format!("wrote {written:?}, ran {ran:?}"))
        });
        (kind.to_owned(), run)
    }))
}
