//! A file that is open can be read, wherever it lies.

use super::{inherited, says};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "inherited-file",
    tries: "read every file that was left open",
    wall: "descriptors closed",
    control: Control::Caller,
    record: Record::Nothing("there is no descriptor; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let found = inherited().into_iter();
    Verdict::any(found.map(|number| (number.to_string(), Verdict::of(says(number)))))
}
