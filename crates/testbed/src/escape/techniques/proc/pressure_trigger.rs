//! Whoever may write to `/proc/pressure` has the kernel watch all of the host, and learns when others are short of
//! something.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "pressure-trigger",
    tries: "a trigger on the pressure of the host",
    wall: "read-only covers over /proc",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let names = ["cpu", "memory", "io"];
    Verdict::any(names.map(|name| {
        let opened = sys::open(format!("/proc/pressure/{name}"), libc::O_RDWR);
        (name.to_owned(), Verdict::of(opened))
    }))
}
