//! Process 1 inside was the launcher once, with the host's tree as its root. It is closed to debuggers, so `/proc`
//! gives its insides to root of the host alone.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "init-insides",
    tries: "root, memory, descriptors and environment of process 1",
    wall: "init is closed to debuggers",
    control: Control::Root,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let links = ["root", "cwd", "exe", "ns/net", "ns/mnt"].map(|name| {
        let target = std::fs::read_link(format!("/proc/1/{name}"));
        (name.to_owned(), Verdict::of(target))
    });
    let files = ["environ", "maps", "smaps", "auxv", "syscall"]
        .map(|name| (name.to_owned(), sys::shows(format!("/proc/1/{name}"))));
    let folders = ["fd", "fdinfo", "map_files", "root", "cwd"].map(|name| {
        let listed = std::fs::read_dir(format!("/proc/1/{name}")).map(Iterator::count);
        (name.to_owned(), Verdict::of(listed))
    });
    let memory = Verdict::of(sys::open("/proc/1/mem", libc::O_RDWR));
    let memory = [("mem".to_owned(), memory)];
    Verdict::any(links.into_iter().chain(files).chain(folders).chain(memory))
}
