//! A byte that is put into a terminal's input is typed by whoever reads there next: the user's shell.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "terminal-tricks",
    tries: "type into a terminal, paste into it, take it over",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["TIOCSTI", "TIOCLINUX", "TIOCSETD", "TIOCCONS"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const HIGH: usize = 1 << 32;
    let byte = [b'x'; 8];
    let requests = [0x5412, 0x541c, 0x5423, 0x541d, 0x5412 | HIGH];
    // The kernel gets as far as to see that a pipe is no terminal, where nothing stops the request before.
    Verdict::any(requests.map(|request| {
        let asked = sys::call(libc::SYS_ioctl, &[0, request, sys::at(&byte)]);
        (format!("{request:#x}"), Verdict::past(asked))
    }))
}
