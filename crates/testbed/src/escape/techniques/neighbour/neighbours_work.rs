//! Work directories lie beside each other on the host, and belong to one user there.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "neighbours-work",
    tries: "the neighbour's work directory, by its path on the host and by `..` from its own",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let name = format!("work-vault/{}.secret", ground.neighbour_socket);
    let beside = ground.file.parent().and_then(|outside| outside.parent());
    let host = beside.map(|host| host.join(&name)).unwrap_or_default();
    let own = sys::own_directory().join("..").join(&name);
    Verdict::any([host, own].map(|path| {
        (
            path.display().to_string(),
            Verdict::of(std::fs::read_to_string(&path)),
        )
    }))
}
