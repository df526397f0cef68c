//! Reads what the disk has, past the kernel's page cache.
//!
//! After a failed write-back the page cache holds what the disk does not, counts it as written, and says so to everyone who asks
//! from then on: `fdatasync` succeeds. Whoever was not told of the failure can only look.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::Errno;

/// What places and lengths are multiples of: no disk has larger blocks.
const ALIGNED: usize = 4096;
/// Bytes compared at a time.
const CHUNK: usize = 1024 * 1024;

/// A file, read from its disk.
#[derive(Debug)]
pub(crate) struct Direct(File);

impl Direct {
    /// The file `path`, if it is the one that is open as `file`. `None`: this file system has no such reading.
    pub(crate) fn open(path: &Path, file: &File) -> io::Result<Option<Self>> {
        // A pipe of that name is waited for by nobody.
        let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = how | OFlags::CLOEXEC | OFlags::DIRECT;
        let direct = match open(path, flags, Mode::empty()) {
            Ok(direct) => File::from(direct),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let (own, other) = (fstat(&direct)?, fstat(file)?);
        if (own.st_dev, own.st_ino) != (other.st_dev, other.st_ino) {
            return Err(io::Error::other("another file has its name now"));
        }
        Ok(Some(Self(direct)))
    }

    /// Reads until `into` is full or the file ends.
    pub(crate) fn read(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let skip = usize::try_from(offset % ALIGNED as u64).unwrap_or(0);
        let whole = (skip + into.len()).next_multiple_of(ALIGNED);
        let mut room = vec![0; whole + ALIGNED];
        let start = room.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        let room = &mut room[start..start + whole];
        let read = fill(&self.0, room, offset - skip as u64)?;
        let got = read.saturating_sub(skip).min(into.len());
        into[..got].copy_from_slice(&room[skip..skip + got]);
        Ok(got)
    }

    /// Whether the disk has the same as `file`, from one byte to another.
    pub(crate) fn agrees(&self, file: &File, from: u64, to: u64) -> io::Result<bool> {
        let (mut cached, mut kept) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut at = from / ALIGNED as u64 * ALIGNED as u64;
        while at < to {
            let some = CHUNK.min(usize::try_from(to - at).unwrap_or(CHUNK));
            let got = self.read(&mut kept[..some], at)?;
            let held = fill(file, &mut cached[..some], at)?;
            if kept[..got] != cached[..held] {
                return Ok(false);
            }
            at += some as u64;
        }
        Ok(true)
    }
}

/// Reads until `into` is full or the file ends. What comes directly comes in multiples of a block, but at the end.
pub(crate) fn fill(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Behind an end that is in the middle of a block.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) && filled > 0 => break,
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_from_the_disk_is_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let bytes: Vec<u8> = (0..3_000_011_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let Some(direct) = Direct::open(&path, &file).unwrap() else {
            eprintln!("SKIPPED: no direct reading here");
            return;
        };
        for (from, length) in [
            (0, 1),
            (4095, 2),
            (64, 70_000),
            (4096, 4096),
            (2_999_000, 5000),
            (3_000_011, 8),
        ] {
            let mut into = vec![0; length];
            let got = direct.read(&mut into, from).unwrap();
            let from = from as usize;
            let to = (from + length).min(bytes.len());
            assert_eq!(into[..got], bytes[from..to], "{from} {length}");
        }
        assert!(direct.agrees(&file, 100, bytes.len() as u64).unwrap());
        let other = directory.path().join("other");
        let mut changed = bytes.clone();
        changed[2_500_000] ^= 1;
        std::fs::write(&other, &changed).unwrap();
        let changed = File::open(&other).unwrap();
        assert!(!direct.agrees(&changed, 0, bytes.len() as u64).unwrap());
        assert!(Direct::open(&other, &file).is_err());
    }
}
