//! A file of the host that no policy shows, by every way of writing its path. The root of a compartment is an allow
//! list: the path leads nowhere.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-file",
    tries: "a file of the host, by its path",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let file = ground.file.display();
    let paths = [
        format!("{file}"),
        format!("/../../../..{file}"),
        format!("/proc/self/root{file}"),
        format!("/proc/self/root/../..{file}"),
        format!("/proc/thread-self/cwd/../../../../../..{file}"),
        format!("/dev/fd/../../../..{file}"),
        format!("/work/../../..{file}"),
    ];
    Verdict::any(paths.map(|path| (path.clone(), Verdict::of(std::fs::read_to_string(path)))))
}
