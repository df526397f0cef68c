//! Whoever may credit the random device with what it was not given weakens the keys of the whole host. In the control
//! it is credited with nothing.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "random-settings",
    tries: "the entropy count of the random device",
    wall: "no capability",
    control: Control::Superuser,
    record: Record::Nothing("ioctl is allowed; this one fails by itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    /// `RNDADDTOENTCNT`.
    const CREDIT: usize = 0x4004_5201;
    let nothing = 0_i32;
    Verdict::any(["random", "urandom"].map(|name| {
        let credited = sys::open(format!("/dev/{name}"), libc::O_RDWR)
            .and_then(|device| sys::call(libc::SYS_ioctl, &[device, CREDIT, sys::at(&nothing)]));
        (name.to_owned(), Verdict::of(credited))
    }))
}
