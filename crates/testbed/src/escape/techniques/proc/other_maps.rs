//! Where the memory of a process lies undoes the randomisation of addresses; `map_files` opens what is mapped.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-maps",
    tries: "the maps, stacks and counters of a process of the host",
    wall: "process namespace, own /proc",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let files = [
        "maps",
        "smaps",
        "auxv",
        "syscall",
        "personality",
        "io",
        "wchan",
        "limits",
    ];
    let shown = files.map(|name| (name.to_owned(), sys::shows(ground.proc(name))));
    let listed = std::fs::read_dir(ground.proc("map_files")).map(Iterator::count);
    let listed = ("map_files".to_owned(), Verdict::of(listed));
    Verdict::any(shown.into_iter().chain([listed]))
}
