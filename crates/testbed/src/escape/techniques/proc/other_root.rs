//! A process's `root` and `cwd` in `/proc` are doors into the tree it sees, past every path of one's own. A process
//! namespace numbers only what is in it.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "other-root",
    tries: "the files of a process of the host, through its root and working directory in /proc",
    wall: "process namespace, own /proc",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let file = ground.file.strip_prefix("/").unwrap_or(&ground.file);
    let read = std::fs::read_to_string(ground.proc("root").join(file));
    let listed = std::fs::read_dir(ground.proc("cwd")).map(Iterator::count);
    Verdict::any([
        ("root".to_owned(), Verdict::of(read)),
        ("cwd".to_owned(), Verdict::of(listed)),
    ])
}
