//! There is one clock for the whole machine; certificates and policies rest on it. Asking how it is kept is not denied
//! to others on a host, setting it is: with no time given, the call changes nothing where it is allowed.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-clock",
    tries: "the host's clock: set it, and steer it",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["settimeofday", "clock_settime", "adjtimex", "clock_adjtime"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let mut state = [0_u8; 256];
    let place = sys::at_mut(&mut state);
    let tries = [
        ("settimeofday", libc::SYS_settimeofday, [0, 0]),
        // No such clock, so that nothing is set anywhere.
        ("clock_settime", libc::SYS_clock_settime, [1000, place]),
        ("adjtimex", libc::SYS_adjtimex, [place, 0]),
        (
            "clock_adjtime",
            libc::SYS_clock_adjtime,
            [libc::CLOCK_REALTIME as usize, place],
        ),
    ];
    Verdict::any(tries.map(|(name, number, arguments)| {
        (
            name.to_owned(),
            Verdict::past(sys::call(number, &arguments)),
        )
    }))
}
