//! The name of a machine stands in its logs and its certificates.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-name",
    tries: "another name for the host",
    wall: "system calls",
    control: Control::Apart,
    record: Record::DeniedEach(&["sethostname", "setdomainname"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let name = c"taken";
    let length = name.count_bytes();
    Verdict::any([
        (
            "host".into(),
            Verdict::of(sys::call(libc::SYS_sethostname, &[sys::at(name), length])),
        ),
        (
            "domain".into(),
            Verdict::of(sys::call(libc::SYS_setdomainname, &[sys::at(name), length])),
        ),
    ])
}
