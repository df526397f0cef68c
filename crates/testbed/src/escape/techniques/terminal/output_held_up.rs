//! Output that is suspended stays so until somebody lets it go on: whoever prints there waits.

use super::{STREAMS, did};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "output-held-up",
    tries: "suspend the output of the caller's terminal",
    wall: "terminal of its own",
    control: Control::Caller,
    record: Record::Nothing("it may suspend the output of its own terminal"),
    start: Start::Terminal,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TCXONC: usize = 0x540a;
    // Zero: off.
    did(STREAMS.map(|stream| sys::call(libc::SYS_ioctl, &[stream, TCXONC, 0]).map(drop)))
}
