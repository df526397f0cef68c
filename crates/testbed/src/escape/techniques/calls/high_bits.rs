//! The kernel looks at 32 bits of an `int`; a register has 64. A filter that compares all of them misses what has
//! anything in the upper half.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "high-bits",
    tries: "arguments with garbage in the upper half",
    wall: "system calls",
    control: Control::Root,
    record: Record::DeniedEach(&[
        "socket AF_PACKET",
        "socket AF_INET SOCK_RAW",
        "fchmod set-id",
        "seccomp with a listener",
    ]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const HIGH: usize = 0x5555_5555 << 32;
    let [packet, inet, raw] = [libc::AF_PACKET, libc::AF_INET, libc::SOCK_RAW].map(|n| n as usize);
    let (family, kind) = (packet | HIGH, raw | HIGH);
    let frame = sys::call(libc::SYS_socket, &[family, kind, 0]);
    let internet = sys::call(libc::SYS_socket, &[inet | HIGH, kind, 1 | HIGH]);
    // There is no such descriptor, and no program at that address.
    let mode = sys::call(libc::SYS_fchmod, &[usize::MAX, 0o4755 | HIGH]);
    let listener = sys::call(libc::SYS_seccomp, &[1 | HIGH, 8 | HIGH, 0]);
    Verdict::any([
        ("packet".into(), Verdict::of(frame)),
        ("raw".into(), Verdict::of(internet)),
        ("set-id".into(), Verdict::past(mode)),
        ("listener".into(), Verdict::of(listener)),
    ])
}
