//! A descriptor of a namespace is a door into it.

use super::inherited;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "inherited-namespace",
    tries: "enter every namespace whose descriptor was left open",
    wall: "descriptors closed; no capability; system calls",
    control: Control::Root,
    record: Record::Nothing("there is no descriptor; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let found = inherited().into_iter();
    Verdict::any(found.map(|number| {
        let entered = sys::call(libc::SYS_setns, &[number, 0]);
        (number.to_string(), Verdict::of(entered))
    }))
}
