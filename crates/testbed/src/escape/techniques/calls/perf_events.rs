//! Counters of the machine tell what others do. Asked with a flag that does not exist, the kernel says so before it
//! asks who wants to know.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "perf-events",
    tries: "a counter of the machine's events",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("perf_event_open"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const NO_SUCH_FLAG: usize = 1 << 16;
    let attribute = [0_u8; 128];
    let everyone = usize::MAX;
    let (any_processor, group) = (0, usize::MAX);
    let asked = sys::call(
        libc::SYS_perf_event_open,
        &[
            sys::at(&attribute),
            everyone,
            any_processor,
            group,
            NO_SUCH_FLAG,
        ],
    );
    Verdict::past(asked)
}
