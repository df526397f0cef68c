//! A file that belongs to somebody else is trusted as that one's. The one id of a compartment maps to one outside;
//! there is no other to give to.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "give-file-away",
    tries: "a file of its own, given to another user",
    wall: "user namespace with one id, no capability",
    control: Control::Superuser,
    record: Record::Nothing("chown is allowed; this one fails by itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let path = sys::own_directory().join("give-file-away");
    let given = std::fs::write(&path, "x").and_then(|()| {
        let to = 12_345;
        std::os::unix::fs::chown(&path, Some(to), Some(to))
    });
    // Whatever became of it.
    let _ = std::fs::remove_file(&path);
    Verdict::of(given)
}
