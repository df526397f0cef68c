//! One mark on a file system tells of every file that anybody on the host opens there. Since Linux 5.13 no privilege is
//! needed for some kinds.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "fanotify",
    tries: "fanotify, of every class",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["fanotify_init", "fanotify_mark"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    /// `FAN_REPORT_FID`, also with names; the classes that may hold others up; all at once.
    const FLAGS: [usize; 5] = [0x200, 0xe00, 0x4, 0x8, 0xffff];
    let opened = FLAGS.map(|flags| {
        let made = sys::call(libc::SYS_fanotify_init, &[flags, libc::O_RDONLY as usize]);
        (format!("flags {flags:#x}"), Verdict::of(made))
    });
    let mark = sys::call(
        libc::SYS_fanotify_mark,
        &[usize::MAX, 1, 1, 0, sys::at(c"/")],
    );
    let marked = [("mark".to_owned(), Verdict::past(mark))];
    Verdict::any(opened.into_iter().chain(marked))
}
