//! Directories under `/run/ringfence` that killed nodes of root left: found dead, and removed.
//!
//! A directory is dead when nothing listens on the sockets in it. A node that is just starting has one like that for a
//! moment; so each holds a [`Making`] until it listens, and a sweep holds off while anybody does.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ringfence_compartment::sockets::{ADMIN_SOCKET, METRICS_SOCKET, RUN_SOCKET};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::lock;

/// Name of the lock file beside the directories.
const LOCK: &str = ".lock";
/// What a living node listens on, one of them at least.
const SERVED: [&str; 2] = [RUN_SOCKET, ADMIN_SOCKET];
/// Digits in the name of a directory.
const DIGITS: usize = 16;

/// While it lives, no sweep takes a directory that nothing listens in yet.
pub(crate) struct Making(#[expect(dead_code, reason = "held, not used")] File);

/// Announces that sockets are about to be made under `parent`.
pub(crate) fn making(parent: &Path) -> io::Result<Making> {
    let file = lock::open(&parent.join(LOCK))?;
    rustix::fs::flock(&file, FlockOperation::LockShared)?;
    Ok(Making(file))
}

/// Removes what dead nodes left under `parent`. What cannot be judged or removed stays: it hinders nobody.
pub(crate) fn sweep(parent: &Path) -> io::Result<()> {
    let lock = lock::open(&parent.join(LOCK))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        // Another node starts or sweeps just now: the next start will do.
        Err(Errno::WOULDBLOCK) => return Ok(()),
        other => other?,
    }
    for path in of_nodes(parent)? {
        // One that cannot be swept is no reason to leave the others, nor not to start.
        let _stays = remove_if_dead(&path);
    }
    Ok(())
}

/// How many directories a sweep would find dead now. One of a node that is just starting may be counted.
pub(crate) fn dead(parent: &Path) -> io::Result<usize> {
    let all_dead = |path: &PathBuf| SERVED.iter().all(|name| is_dead(&path.join(name)));
    Ok(of_nodes(parent)?
        .iter()
        .filter(|path| all_dead(path))
        .count())
}

/// Directories of nodes of this user.
fn of_nodes(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let own = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.len() == DIGITS
            && name
                .as_encoded_bytes()
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && entry
                .metadata()
                .is_ok_and(|meta| meta.is_dir() && meta.uid() == own);
        if ours {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove_if_dead(path: &Path) -> io::Result<()> {
    let directory = rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    for name in SERVED {
        if !is_dead(&path.join(name)) {
            return Ok(());
        }
    }
    for name in [RUN_SOCKET, ADMIN_SOCKET, METRICS_SOCKET] {
        match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Not when there is anything else in it: that is not ours.
    std::fs::remove_dir(path)
}

/// Whether nothing listens on the socket at `path`. Never waits: a node that is stopped, with a full queue, is alive.
fn is_dead(path: &Path) -> bool {
    let refused = || -> rustix::io::Result<bool> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
            Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(true),
            Err(error) => Err(error),
            Ok(()) => Ok(false),
        }
    };
    refused().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_compartment::sockets::listen;
    use std::fs;

    const DEAD: &str = "00000000000000aa";
    const LIVING: &str = "00000000000000bb";

    #[test]
    fn only_dead_directories_of_nodes_go() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let mut sockets = Vec::new();
        for name in [
            DEAD,
            LIVING,
            "00000000000000cc",
            "short",
            "00000000000000XX",
        ] {
            fs::create_dir(at(name)).unwrap();
            if name == LIVING {
                // Only one of the two: being about to listen on the other.
                sockets.push(listen(&at(name), ADMIN_SOCKET, Mode::RWXU).unwrap());
            } else {
                drop(listen(&at(name), RUN_SOCKET, Mode::RWXU).unwrap());
                drop(listen(&at(name), ADMIN_SOCKET, Mode::RWXU).unwrap());
            }
        }
        fs::write(at("00000000000000cc").join("note"), "not ours").unwrap();
        fs::write(at("00000000000000dd"), "a file").unwrap();

        // The one with a file that is not ours is dead too; a sweep leaves the directory.
        assert_eq!(dead(parent.path()).unwrap(), 2);
        let held = making(parent.path()).unwrap();
        sweep(parent.path()).unwrap();
        assert!(at(DEAD).exists(), "swept while a node was starting");
        drop(held);

        sweep(parent.path()).unwrap();
        assert!(!at(DEAD).exists());
        assert_eq!(dead(parent.path()).unwrap(), 1);
        for name in [
            LIVING,
            "short",
            "00000000000000XX",
            "00000000000000cc/note",
            "00000000000000dd",
        ] {
            assert!(at(name).exists(), "{name} is gone");
        }
        assert!(at(LIVING).join(ADMIN_SOCKET).exists());
    }
}
