//! Ids mapped anew would make the workload root of its own namespace, or somebody else outside. A map is written
//! once, and from outside. (Project ids may be mapped by anyone, and are looked at in the first namespace alone.)

use std::io::Write;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "own-maps",
    tries: "its own id maps and clocks",
    wall: "user namespace",
    control: Control::Lacking("a map is written once, wherever"),
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let maps = [
        ("uid_map", "0 0 4294967295"),
        ("gid_map", "0 0 4294967295"),
        ("timens_offsets", "monotonic 1000 0"),
    ];
    Verdict::any(maps.map(|(name, value)| {
        let written = std::fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/self/{name}"))
            .and_then(|mut file| file.write_all(value.as_bytes()));
        (name.to_owned(), Verdict::of(written))
    }))
}
