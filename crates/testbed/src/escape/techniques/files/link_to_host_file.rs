//! A link in a writable tree may point anywhere. It is followed in the tree of whoever follows it.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "link-to-host-file",
    tries: "a file of the host, through a link in the work directory",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let link = sys::own_directory().join("link-to-host-file");
    let read = std::os::unix::fs::symlink(&ground.file, &link)
        .and_then(|()| std::fs::read_to_string(&link));
    // It may not have been made.
    let _ = std::fs::remove_file(&link);
    Verdict::of(read)
}
