//! A console of the machine pastes what was selected on it, and tells what is on its screen.

use super::STREAMS;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "pasted-into-terminal",
    tries: "select and paste on the caller's terminal",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("TIOCLINUX"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCLINUX: usize = 0x541c;
    // Select, paste, what the shift keys do, the console in front.
    let requests = STREAMS
        .into_iter()
        .flat_map(|stream| [2_u8, 3, 6, 12].map(|request| (stream, request)));
    // A terminal that is no console does not know it; the kernel got as far as to ask it.
    Verdict::any(requests.map(|(stream, request)| {
        let room = [request, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let asked = sys::call(libc::SYS_ioctl, &[stream, TIOCLINUX, sys::at(&room)]);
        (format!("{stream}, {request}"), Verdict::past(asked))
    }))
}
