//! Room for what is to be written, taken from the disk before it is needed.
//!
//! Blocks are allocated ahead of the end of the file without changing its size, so that a full disk is known before
//! an attempt is let through, and not when its record is half written. The last [`RESERVE`] of them is kept for what
//! has already happened and can no longer be denied.

use std::fs::File;
use std::io;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Bytes allocated at a time.
pub(crate) const CHUNK: u64 = 1024 * 1024;
/// Bytes allocated at a time when the disk has no whole [`CHUNK`] left. Below this the log is full.
pub(crate) const LAST_CHUNK: u64 = 64 * 1024;
/// Bytes that only [`Purpose::After`] may use, in bytes. When they are gone too, such records are counted instead.
pub(crate) const RESERVE: u64 = 64 * 1024;

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Describes what has not happened yet, and will not if this fails.
    Before,
    /// Describes what has happened: a close, a denial.
    After,
}

/// How far the file's blocks reach.
#[derive(Debug)]
pub(crate) struct Room {
    /// Offset up to which blocks are known to be there.
    to: u64,
    /// The file system cannot allocate ahead: every write tells for itself.
    unsupported: bool,
}

impl Room {
    /// Nothing is known to be allocated beyond `end`, the end of the file.
    pub(crate) fn from(end: u64) -> Self {
        Self {
            to: end,
            unsupported: false,
        }
    }

    /// The file was cut to `end`, which frees what was allocated beyond.
    pub(crate) fn cut_to(&mut self, end: u64) {
        self.to = end;
    }

    /// Bytes allocated beyond `end`; `None`: the file system cannot.
    pub(crate) fn ahead(&self, end: u64) -> Option<u64> {
        (!self.unsupported).then(|| self.to.saturating_sub(end))
    }

    /// Whether `length` bytes at `end` fit without asking the disk.
    pub(crate) fn holds(&self, end: u64, length: u64, purpose: Purpose) -> bool {
        self.unsupported || self.to >= end + length + kept(purpose)
    }

    /// Makes sure that `length` bytes at `end` fit, and for [`Purpose::Before`] the reserve behind them.
    pub(crate) fn secure(
        &mut self,
        file: &File,
        end: u64,
        length: u64,
        purpose: Purpose,
    ) -> io::Result<()> {
        if self.holds(end, length, purpose) {
            return Ok(());
        }
        match self.extend(file, end + length + RESERVE + CHUNK) {
            Err(e) if is_full(&e) => self.extend(file, end + length + RESERVE + LAST_CHUNK),
            done => done,
        }
    }

    fn extend(&mut self, file: &File, to: u64) -> io::Result<()> {
        loop {
            match fallocate(file, FallocateFlags::KEEP_SIZE, self.to, to - self.to) {
                Ok(()) => {
                    self.to = to;
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.unsupported = true;
                    return Ok(());
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn kept(purpose: Purpose) -> u64 {
    match purpose {
        Purpose::Before => RESERVE,
        Purpose::After => 0,
    }
}

/// Whether an error means that there is no room, as opposed to a failing disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
