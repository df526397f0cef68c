//! A FIFO that is seen is a way in and out, through read-only mounts as well.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-fifo",
    tries: "a FIFO of the host, by its path",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let written = sys::open(&ground.fifo, libc::O_WRONLY | libc::O_NONBLOCK)
        .and_then(|fifo| sys::call(libc::SYS_write, &[fifo, sys::at("x"), 1]));
    Verdict::of(written)
}
