//! Removes groups of compartments that ended while nobody looked: the node was killed, or its table was lost.

use std::fs;
use std::os::unix::fs::MetadataExt;
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
    let own = rustix::process::geteuid().as_raw();
    if let Some(mount) = mounted(&mounts) {
        of_node(mount, prefix, own, DEPTH_MAX, &mut found);
    }
    found.retain(|path| !prefix.instance(path).is_some_and(&lives));
    found.retain(|path| Group::at(path).end().is_err());
    found
}

/// Groups of this node below `directory`, which were made by user `own`. One that cannot be looked into has none of them.
///
/// Nor has one that somebody else may write: that user may make any number of groups in it, under names of this node's,
/// which would be looked at again and again.
fn of_node(directory: &Path, prefix: &Prefix, own: u32, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let Ok(about) = entry.metadata() else {
            continue;
        };
        let others = about.mode() & 0o022 != 0 || ![0, own].contains(&about.uid());
        if !about.is_dir() || others {
            continue;
        }
        let path = entry.path();
        if prefix.instance(&path).is_some() {
            if about.uid() == own {
                found.push(path);
            }
        } else if depth > 0 {
            of_node(&path, prefix, own, depth - 1, found);
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
        assert_eq!(instances(place.path(), &own), ["clerk-1-1", "clerk-1-2"]);
    }

    fn instances(directory: &Path, node: &Prefix) -> Vec<String> {
        let user = rustix::process::geteuid().as_raw();
        let mut found = Vec::new();
        of_node(directory, node, user, DEPTH_MAX, &mut found);
        let names = found.iter().filter_map(|path| node.instance(path));
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn groups_are_looked_for_so_deep_and_no_deeper() {
        let place = tempfile::tempdir().unwrap();
        let own = Prefix::of((7, 9));
        let mut directory = place.path().to_owned();
        for depth in 0..DEPTH_MAX + 3 {
            let group = format!("ringfence-7-9-clerk-1-{depth:02}");
            fs::create_dir(directory.join(group)).unwrap();
            directory.push("slice");
            fs::create_dir(&directory).unwrap();
        }
        let deepest = format!("clerk-1-{DEPTH_MAX:02}");
        let found = instances(place.path(), &own);
        assert_eq!(found.len(), DEPTH_MAX + 1);
        assert_eq!(found.last(), Some(&deepest));
    }

    #[test]
    fn what_others_make_under_names_of_this_node_is_left_alone() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let own = Prefix::of((7, 9));
        let theirs = place.path().join("user.slice/user@1.service");
        fs::create_dir_all(theirs.join("ringfence-7-9-clerk-1-1")).unwrap();
        fs::create_dir_all(theirs.join("app.slice/ringfence-7-9-clerk-1-2")).unwrap();
        assert_eq!(instances(place.path(), &own).len(), 2);
        fs::set_permissions(&theirs, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(instances(place.path(), &own).is_empty());
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(&theirs, PermissionsExt::from_mode(0o755)).unwrap();
            std::os::unix::fs::chown(&theirs, Some(54321), None).unwrap();
            assert!(instances(place.path(), &own).is_empty());
        }
    }
}
