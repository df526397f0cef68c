//! The program that a launcher is going to start, looked at by the node itself.
//!
//! A launcher shows an open file. Where it lies and what is in it is found out here, on the same file; what the launcher
//! says about it does not count. A file that others than root (and the node's own user) could change or exchange is not
//! accepted: what was looked at would not be what is started.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ringfence_model::Sha256Digest;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use sha2::{Digest, Sha256};

use crate::limits::PROGRAM_MAX;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its own path, in the node's view of the host.
    pub(crate) path: PathBuf,
    /// Of its contents; `None` when nobody asked for it.
    pub(crate) sha256: Option<Sha256Digest>,
}

/// Looks at the file behind `shown`. May take as long as reading it does.
///
/// `trusted` are the users who may own it and every directory above it.
pub(crate) fn look(shown: &OwnedFd, digest: bool, trusted: &[u32]) -> Result<Seen, String> {
    // From the kernel's own tables: a file system that answers through a user's process is not asked anything.
    let link = format!("/proc/self/fd/{}", shown.as_raw_fd());
    let path = fs::read_link(link).map_err(|error| format!("it has no path: {error}"))?;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let identity = rustix::fs::statx(shown, "", flags, StatxFlags::BASIC_STATS)
        .map_err(|error| format!("it cannot be examined: {error}"))?;
    if FileType::from_raw_mode(identity.stx_mode.into()) != FileType::RegularFile {
        return Err("it is no regular file".to_owned());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
    if let Some(kind) = answered_by_a_user(&path, &mounts) {
        return Err(format!(
            "{} is on {kind}, which a program answers for",
            path.display()
        ));
    }
    unchangeable(&path, trusted)?;
    let opened = open(&path, OFlags::PATH)?;
    let same = |file: &OwnedFd| {
        rustix::fs::fstat(file).is_ok_and(|found| {
            found.st_ino == identity.stx_ino
                && rustix::fs::major(found.st_dev) == identity.stx_dev_major
                && rustix::fs::minor(found.st_dev) == identity.stx_dev_minor
        })
    };
    if !same(&opened) {
        return Err(format!(
            "it is not the file that the node finds at {}",
            path.display()
        ));
    }
    let sha256 = if digest {
        let readable = open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if !same(&readable) {
            return Err(format!("{} was exchanged meanwhile", path.display()));
        }
        Some(hash(File::from(readable), &path, PROGRAM_MAX)?)
    } else {
        None
    };
    Ok(Seen { path, sha256 })
}

/// The SHA-256 of a program of at most `most` bytes, as people are shown it; nothing rests on it. Errors with the reason
/// where it cannot be read, or is longer.
pub fn digest(path: &Path, most: u64) -> Result<Sha256Digest, String> {
    let file = open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    hash(File::from(file), path, most)
}

fn open(path: &Path, how: OFlags) -> Result<OwnedFd, String> {
    rustix::fs::openat2(
        rustix::fs::CWD,
        path,
        how | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(|error| format!("{}: {error}", path.display()))
}

/// The kind of file system, if a process of some user answers for one on the way to `path`: it could let the node wait
/// for ever, and show everybody something else.
fn answered_by_a_user<'m>(path: &Path, mountinfo: &'m str) -> Option<&'m str> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        let kind = after.split(' ').next()?;
        // Escapes are left as they are: such a mount is then looked at by its parent's rights.
        (kind.starts_with("fuse") && path.starts_with(point)).then_some(kind)
    })
}

/// The file and every directory above it can be changed by nobody but `trusted`.
fn unchangeable(path: &Path, trusted: &[u32]) -> Result<(), String> {
    const STICKY: u32 = 0o1000;
    for part in path.ancestors() {
        let shown = part.display();
        let found = fs::symlink_metadata(part).map_err(|error| format!("{shown}: {error}"))?;
        if !trusted.contains(&found.uid()) {
            return Err(format!("{shown} belongs to uid {}", found.uid()));
        }
        // In a sticky directory others make files, and take away only their own.
        let sticky = found.is_dir() && found.mode() & STICKY != 0;
        if found.mode() & 0o022 != 0 && !sticky {
            return Err(format!("others may change {shown}"));
        }
    }
    Ok(())
}

/// Of a file of at most `most` bytes. A longer one is not read.
fn hash(file: File, path: &Path, most: u64) -> Result<Sha256Digest, String> {
    let shown = path.display();
    let larger = || Err(format!("{shown} is larger than {most} bytes"));
    let meta = file
        .metadata()
        .map_err(|error| format!("{shown}: {error}"))?;
    if meta.len() > most {
        return larger();
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    // It may grow meanwhile.
    let mut file = file.take(most + 1);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("{shown}: {error}")),
        }
    }
    if file.limit() == 0 {
        return larger();
    }
    Ok(Sha256Digest::new(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn shown(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    /// A directory of which every part above is root's or ours.
    fn place() -> (tempfile::TempDir, PathBuf, Vec<u32>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("agent");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        let own = fs::metadata(&file).unwrap().uid();
        (dir, file, vec![0, own])
    }

    #[test]
    fn finds_path_and_digest_behind_links_and_without_the_right_to_read() {
        let (dir, file, trusted) = place();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let seen = look(&shown(&link), true, &trusted).unwrap();
        // sha256sum of "#!/bin/sh\n".
        let digest = "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf";
        assert_eq!(seen.path, file);
        assert_eq!(seen.sha256.unwrap().to_string(), digest);
        fs::set_permissions(&file, PermissionsExt::from_mode(0o711)).unwrap();
        let seen = look(&shown(&file), false, &trusted).unwrap();
        assert_eq!((seen.path, seen.sha256), (file, None));
    }

    #[test]
    fn refuses_what_others_could_change() {
        let (dir, file, trusted) = place();
        let sees = || look(&shown(&file), false, &trusted);
        sees().unwrap();
        for (path, mode, back) in [
            (&*file, 0o775, 0o755),
            (&*file, 0o757, 0o755),
            (dir.path(), 0o777, 0o700),
        ] {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(
                sees().unwrap_err().contains("others may change"),
                "{mode:o}"
            );
            fs::set_permissions(path, PermissionsExt::from_mode(back)).unwrap();
        }
        // Only the sticky bit makes a directory for everybody safe.
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o1777)).unwrap();
        sees().unwrap();
        let nobody = look(&shown(&file), false, &[]);
        assert!(nobody.unwrap_err().contains("belongs to uid"));
    }

    #[test]
    fn refuses_what_is_no_file_or_not_there_any_more() {
        let (dir, file, trusted) = place();
        let directory = look(&shown(dir.path()), false, &trusted);
        assert!(directory.unwrap_err().contains("no regular file"));
        let gone = shown(&file);
        fs::remove_file(&file).unwrap();
        look(&gone, false, &trusted).unwrap_err();
        // Another file in its place is another file.
        fs::write(&file, "#!/bin/sh\n").unwrap();
        look(&gone, false, &trusted).unwrap_err();
        let memory = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        look(&memory, false, &trusted).unwrap_err();
    }

    #[test]
    fn a_program_that_is_too_large_is_not_read() {
        let (_dir, file, trusted) = place();
        let writable = File::options().write(true).open(&file).unwrap();
        writable.set_len(PROGRAM_MAX + 1).unwrap();
        drop(writable);
        let refusal = look(&shown(&file), true, &trusted).unwrap_err();
        let words = format!("larger than {PROGRAM_MAX} bytes");
        assert!(refusal.contains(&words), "{refusal}");
        // Where nobody asks for its digest, its length does not matter.
        look(&shown(&file), false, &trusted).unwrap();
        fs::write(&file, "1234").unwrap();
        let of = |most| hash(File::open(&file).unwrap(), &file, most);
        assert!(of(4).is_ok());
        assert!(of(3).unwrap_err().contains("larger than 3 bytes"));
        assert!(digest(&file, 4).is_ok() && digest(&file, 3).is_err());
        // One that says that it is empty, as those of /proc do.
        let lies = Path::new("/proc/self/status");
        let lies = hash(File::open(lies).unwrap(), lies, 10).unwrap_err();
        assert!(lies.contains("larger than 10 bytes"), "{lies}");
    }

    #[test]
    fn a_file_system_of_a_user_is_not_asked() {
        let mounts =
            "30 1 8:1 / / rw - ext4 /dev/sda rw\n40 30 0:50 / /home/eve/m rw - fuse.evil e rw\n";
        assert_eq!(
            answered_by_a_user(Path::new("/home/eve/m/x"), mounts),
            Some("fuse.evil")
        );
        assert_eq!(
            answered_by_a_user(Path::new("/home/eve/mm/x"), mounts),
            None
        );
        assert_eq!(answered_by_a_user(Path::new("/opt/x"), mounts), None);
    }
}
