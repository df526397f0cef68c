//! Whoever takes the console gets all that the kernel and the host's services print on it.

use super::STREAMS;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "terminal-as-console",
    tries: "have the console's output come to the terminal given",
    wall: "system calls; no capability",
    control: Control::Superuser,
    record: Record::Denied("TIOCCONS"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TIOCCONS: usize = 0x541d;
    Verdict::any(STREAMS.map(|stream| {
        // One that cannot be written to: the kernel sees that last, and takes no console of this machine.
        let path = format!("/proc/self/fd/{stream}");
        let asked = sys::open(path, libc::O_RDONLY | libc::O_NOCTTY)
            .and_then(|reader| sys::call(libc::SYS_ioctl, &[reader, TIOCCONS]));
        (stream.to_string(), Verdict::past(asked))
    }))
}
