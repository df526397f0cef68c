//! One node at a time on one state directory.
//!
//! The lock is the kernel's and ends with the process that holds it, however that ends. It is on the directory itself,
//! whatever path leads there, and on the file `lock` in it, which says who holds it; a node that cannot lock a directory
//! (some network file systems) has the file alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::NodeError;

/// Name of the lock file; it holds the process id of the node.
const FILE: &str = "lock";
/// Looks for the name of the holder, and the pause between them: who has just won has not written it yet.
const LOOKS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _directory: Option<File>,
    _file: File,
}

/// Opens a file to be locked, and makes it where there is none. Nobody else may hold it against us, or lead us elsewhere.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
}

/// Locks `dir`, without waiting.
pub(crate) fn take(dir: &Path) -> Result<Lock, NodeError> {
    let path = dir.join(FILE);
    let cannot = |error: io::Error| {
        NodeError::io(
            format!("lock {}", path.display()),
            error,
            "the state must be on a file system that has locks: name another place with `--state DIR`",
        )
    };
    let taken = |path: &Path| NodeError::Locked {
        dir: dir.to_owned(),
        pid: holder(path),
    };
    let directory = File::open(dir).map_err(cannot)?;
    let directory = match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Some(directory),
        Err(Errno::WOULDBLOCK) => return Err(taken(&path)),
        // What some network file systems say of directories.
        Err(Errno::BADF | Errno::INVAL | Errno::NOTSUP | Errno::NOLCK | Errno::ISDIR) => None,
        Err(error) => return Err(cannot(error.into())),
    };
    let file = open(&path).map_err(cannot)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(taken(&path)),
        Err(error) => return Err(cannot(error.into())),
    }
    let text = format!("{}\n", std::process::id());
    file.write_all_at(text.as_bytes(), 0).map_err(cannot)?;
    file.set_len(text.len() as u64).map_err(cannot)?;
    Ok(Lock {
        _directory: directory,
        _file: file,
    })
}

/// Who holds the lock, if it can be seen from here: another pid namespace has other numbers.
fn holder(path: &Path) -> Option<u32> {
    for _ in 0..LOOKS {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(32).read_to_string(&mut text));
        let pid: Option<u32> = read.ok().and_then(|_| text.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            return Some(pid);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(dir: &Path) -> bool {
        matches!(take(dir), Err(NodeError::Locked { pid, .. }) if pid == Some(std::process::id()))
    }

    #[test]
    fn holds_under_every_name_of_the_directory_and_without_its_file() {
        let temp = tempfile::tempdir().unwrap();
        let (dir, link) = (temp.path().join("state"), temp.path().join("link"));
        std::fs::create_dir(&dir).unwrap();
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        let lock = take(&dir).unwrap();
        assert!(refused(&dir) && refused(&link));
        // Somebody tidied up: the number is gone, the lock is not.
        std::fs::remove_file(dir.join(FILE)).unwrap();
        assert!(matches!(
            take(&dir),
            Err(NodeError::Locked { pid: None, .. })
        ));
        drop(lock);
        take(&link).unwrap();
    }

    #[test]
    fn is_respected_by_a_node_that_knows_only_the_file_and_the_other_way_round() {
        let dir = tempfile::tempdir().unwrap();
        let old = File::create(dir.path().join(FILE)).unwrap();
        std::fs::write(dir.path().join(FILE), std::process::id().to_string()).unwrap();
        rustix::fs::flock(&old, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(refused(dir.path()));
        drop(old);
        let _new = take(dir.path()).unwrap();
        let old = File::open(dir.path().join(FILE)).unwrap();
        let again = rustix::fs::flock(&old, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(again, Err(Errno::WOULDBLOCK));
    }
}
