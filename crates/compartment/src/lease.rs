//! Whether somebody has a file open for writing: it may be half of what it is going to be.

use std::os::fd::AsFd;

use rustix::fs::FsWord;

use crate::sys;

/// What is known about writers of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Nobody on this machine has it open for writing, or mapped so.
    Nobody,
    /// Somebody has.
    Somebody,
    /// The kernel does not say: the file is not ours, or its file system has no leases.
    Unknown,
}

/// File systems whose leases are about the server's promises, not about writers (NFS, CIFS, SMB2).
const REMOTE: [FsWord; 3] = [0x6969, 0xFF53_4D42, 0xFE53_4D42];

/// Asks about `file`, which must have been opened for reading only. Never waits.
///
/// The answer comes from a read lease, which the kernel grants only while the file has no writer. It is given back at
/// once; a writer that opens the file in that very moment waits for some microseconds.
pub fn writers(file: impl AsFd) -> Writers {
    let remote = rustix::fs::fstatfs(&file).map(|system| REMOTE.contains(&system.f_type));
    if remote != Ok(false) {
        return Writers::Unknown;
    }
    match sys::try_read_lease(file.as_fd()) {
        Ok(()) => Writers::Nobody,
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Writers::Somebody,
        Err(_) => Writers::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};

    use super::*;

    #[test]
    fn a_writer_is_seen_until_it_closes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(writers(&file), Writers::Nobody);
        let reader = File::open(&path).unwrap();
        assert_eq!(writers(&file), Writers::Nobody);
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(writers(&file), Writers::Somebody);
        drop((reader, writer));
        assert_eq!(writers(&file), Writers::Nobody);
    }

    #[test]
    fn its_own_writer_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("a")).unwrap();
        assert_eq!(writers(&file), Writers::Somebody);
    }

    #[test]
    fn asking_breaks_no_writer_and_ends_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let (writing, file) = (path.clone(), File::open(&path).unwrap());
        let writer = std::thread::spawn(move || {
            for _ in 0..2_000 {
                drop(OpenOptions::new().write(true).open(&writing).unwrap());
            }
        });
        while !writer.is_finished() {
            writers(&file);
        }
        writer.join().unwrap();
    }
}
