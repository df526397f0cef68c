//! Removes groups of compartments that ended while nobody looked: the node was killed, or its table was lost.

use std::fs;
use std::path::{Path, PathBuf};

use super::Prefix;
use super::group::Group;
use super::place::mounted;

/// How deep groups are looked for.
const DEPTH_MAX: usize = 16;

/// Ends every group of this node but those of instances that `lives` says yes to. Gives those that could not be removed
/// yet.
pub(crate) fn sweep(prefix: &Prefix, lives: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found = Vec::new();
    if let Some(mount) = mounted(&mounts) {
        of_node(mount, prefix, DEPTH_MAX, &mut found);
    }
    found.retain(|path| !prefix.instance(path).is_some_and(&lives));
    found.retain(|path| Group::at(path).end().is_err());
    found
}

/// Groups of this node below `directory`. One that cannot be looked into has none that this user made.
fn of_node(directory: &Path, prefix: &Prefix, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        if prefix.instance(&path).is_some() {
            found.push(path);
        } else if depth > 0 {
            of_node(&path, prefix, depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_this_node_are_found() {
        let place = tempfile::tempdir().unwrap();
        let own = Prefix::of((7, 9));
        for name in [
            "system.slice/ringfence-7-9-clerk-1-1",
            "user.slice/user-1.slice/ringfence-7-9-clerk-1-2",
            "system.slice/ringfence-7-8-clerk-1-1",
            "system.slice/ringfence-check-12",
            "system.slice/ringfence.service",
        ] {
            fs::create_dir_all(place.path().join(name)).unwrap();
        }
        let mut found = Vec::new();
        of_node(place.path(), &own, DEPTH_MAX, &mut found);
        let mut names: Vec<_> = found.iter().filter_map(|path| own.instance(path)).collect();
        names.sort_unstable();
        assert_eq!(names, ["clerk-1-1", "clerk-1-2"]);
    }
}
