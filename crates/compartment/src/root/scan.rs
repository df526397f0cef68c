//! Host sockets and FIFOs in a tree: through read-only mounts and Landlock alike a workload could connect to them.

use std::io;
use std::path::Path;

use rustix::fs::{Access as Permission, AtFlags, Dir, FileType, Mode, OFlags};

use super::plan::Examined;
use crate::error::Refusal;

/// Entries looked at in one tree. One with more is refused: it was not seen whole.
const ENTRIES_MAX: u64 = 2_000_000;
/// Deepest nesting looked at.
const DEPTH_MAX: usize = 256;

/// Refuses a tree that holds a socket or a FIFO, or that cannot be seen whole.
///
/// A directory this user may neither list nor enter, nor open to itself as its owner, is closed to the workload as well,
/// and passed over. What a host process adds later is not seen.
pub(super) fn refuse_sockets(tree: &Path, examined: &Examined) -> Result<(), Refusal> {
    let fix = "take it out, name a narrower path, or set `filesystem: { sockets: true }` in the policy if the workload \
               may speak to whoever listens there";
    let found = examined.stat().map_err(|cause| {
        Refusal::new(
            format!("{} cannot be examined: {cause}", tree.display()),
            "name a path that exists",
        )
    })?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if kind != FileType::Directory {
        return match speaks(kind) {
            Some(what) => Err(Refusal::new(
                format!("{} is a {what} of the host", tree.display()),
                fix,
            )),
            None => Ok(()),
        };
    }
    let mut left = ENTRIES_MAX;
    match walk(examined.handle(), Path::new("."), tree, 0, &mut left) {
        Ok(None) => Ok(()),
        Ok(Some(found)) => Err(Refusal::new(
            format!("{} shows {found}", tree.display()),
            fix,
        )),
        Err(cause) => Err(Refusal::new(
            format!("{} cannot be examined for sockets: {cause}", tree.display()),
            fix,
        )),
    }
}

fn speaks(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::Socket => Some("socket"),
        FileType::Fifo => Some("FIFO"),
        _ => None,
    }
}

/// The first thing found that speaks, in words. `left` is how many entries may still be looked at.
fn walk(
    parent: impl std::os::fd::AsFd,
    name: &Path,
    path: &Path,
    depth: usize,
    left: &mut u64,
) -> io::Result<Option<String>> {
    if depth > DEPTH_MAX {
        return Ok(Some(format!(
            "directories nested deeper than {DEPTH_MAX}, which are not examined"
        )));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(&parent, name, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(rustix::io::Errno::ACCESS) => {
            let enterable =
                rustix::fs::accessat(&parent, name, Permission::EXEC_OK, AtFlags::EACCESS);
            if enterable.is_ok() {
                return Ok(Some(format!(
                    "{}, which may be entered but not listed",
                    path.display()
                )));
            }
            let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let own = found.st_uid == rustix::process::geteuid().as_raw();
            return Ok(own.then(|| {
                format!(
                    "{}, which is closed but belongs to the user of the workload, who could open it",
                    path.display()
                )
            }));
        }
        // Gone meanwhile, or no directory any more.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            return Ok(None);
        }
        Err(cause) => return Err(cause.into()),
    };
    let mut directory = Dir::read_from(&opened)?;
    while let Some(entry) = directory.read() {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if matches!(bytes, b"." | b"..") {
            continue;
        }
        let Some(rest) = left.checked_sub(1) else {
            return Ok(Some(format!(
                "more than {ENTRIES_MAX} entries, which are too many to examine"
            )));
        };
        *left = rest;
        let kind = match entry.file_type() {
            FileType::Unknown => {
                match rustix::fs::statat(&opened, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(rustix::io::Errno::NOENT) => continue,
                    Err(cause) => return Err(cause.into()),
                }
            }
            kind => kind,
        };
        let name: &Path =
            Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes));
        if let Some(what) = speaks(kind) {
            return Ok(Some(format!(
                "the {what} {} of the host",
                path.join(name).display()
            )));
        }
        if kind == FileType::Directory
            && let Some(found) = walk(&opened, name, &path.join(name), depth + 1, left)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tree: &Path, mut left: u64) -> Option<String> {
        walk(rustix::fs::CWD, tree, tree, 0, &mut left).unwrap()
    }

    #[test]
    fn a_tree_with_more_entries_than_are_looked_at_is_refused() {
        let tree = tempfile::tempdir().unwrap();
        let deeper = tree.path().join("deeper");
        std::fs::create_dir(&deeper).unwrap();
        for number in 0..6 {
            std::fs::write(deeper.join(number.to_string()), "").unwrap();
        }
        // Two million files would take a minute to make: the walk is given a smaller bound.
        assert_eq!(found(tree.path(), 7), None);
        let refused = found(tree.path(), 6).unwrap();
        let told = format!("more than {ENTRIES_MAX} entries");
        assert!(refused.starts_with(&told), "{refused}");
        assert_eq!(found(tree.path(), ENTRIES_MAX), None);
    }

    #[test]
    fn a_tree_that_is_nested_deeper_than_is_looked_at_is_refused() {
        // Two descriptors for each level.
        crate::raise_open_files().unwrap();
        let tree = tempfile::tempdir().unwrap();
        let nested = |depth: usize| vec!["d"; depth].join("/");
        std::fs::create_dir_all(tree.path().join(nested(DEPTH_MAX))).unwrap();
        assert_eq!(found(tree.path(), ENTRIES_MAX), None);
        std::fs::create_dir(tree.path().join(nested(DEPTH_MAX + 1))).unwrap();
        let refused = found(tree.path(), ENTRIES_MAX).unwrap();
        assert!(refused.contains("nested deeper"), "{refused}");
    }
}
