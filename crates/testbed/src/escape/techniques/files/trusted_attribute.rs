//! Attributes under `trusted.` steer overlays and backups of the host. They take a capability in the first namespace.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "trusted-attribute",
    tries: "a trusted attribute on a file of its own",
    wall: "no capability",
    control: Control::Superuser,
    record: Record::Nothing("setxattr is allowed; this one fails by itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let path = sys::own_directory().join("trusted-attribute");
    let made = std::fs::write(&path, "x").and_then(|()| {
        let (path, name) = (sys::c_path(&path), sys::c_path("trusted.ringfence"));
        let (path, name) = (
            sys::at(path.to_bytes_with_nul()),
            sys::at(name.to_bytes_with_nul()),
        );
        sys::call(libc::SYS_setxattr, &[path, name, sys::at("x"), 1, 0])
    });
    // Whatever became of it.
    let _ = std::fs::remove_file(&path);
    Verdict::of(made)
}
