//! `/proc/PID/mem` reads and writes any memory of a process whose user one is, without ptrace. There is no such
//! number in the compartment.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-memory",
    tries: "the memory of a process of the host, by /proc/PID/mem",
    wall: "process namespace, own /proc",
    control: Control::Root,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let (place, length) = ground.memory;
    let mut bytes = vec![0; length];
    let read = File::open(ground.proc("mem"))
        .and_then(|memory| memory.read_exact_at(&mut bytes, place as u64))
        .map(|()| String::from_utf8_lossy(&bytes).into_owned());
    Verdict::of(read)
}
