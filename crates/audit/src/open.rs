//! Opens the log for writing: one writer, and a file that ends with a whole record.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, statat,
};
use rustix::io::Errno;

use crate::gap::Gap;
use crate::scan::{Scanner, Step};
use crate::writer::Writer;
use crate::{LogError, Seq};

/// Name of the log's file within its directory.
pub const FILE_NAME: &str = "flows.binpb";
/// Locked by the writer as long as it lives.
const LOCK_NAME: &str = "flows.lock";
/// For the owner only.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
/// For the owner only.
const DIRECTORY_MODE: u32 = 0o700;

/// What had to be mended when the log was opened. The log records each as an `event` of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A record that a crash left half written, never acknowledged, was cut off.
    CutOff {
        /// Its bytes.
        bytes: u64,
        /// Number of whole records before it.
        kept: u64,
    },
    /// The file was damaged; it was moved aside whole, and a new one begun.
    MovedAside {
        /// Its new name.
        to: PathBuf,
        /// What is wrong with it.
        damage: String,
    },
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repair::CutOff { bytes, kept } => write!(
                f,
                "cut off {bytes} bytes of a record that was never acknowledged, after {kept} whole records"
            ),
            Repair::MovedAside { to, damage } => write!(
                f,
                "{damage}; the damaged log is kept as {}, and a new one begins at record 0",
                to.display()
            ),
        }
    }
}

/// Opens the log in `directory`, creating what is missing, and mends it.
pub(crate) fn writer(directory: &Path) -> Result<(Writer, Vec<Repair>), LogError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |cause: io::Error| LogError::Open { path, cause }
    };
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(at(directory)(e)),
        _ => {}
    }
    let opened = rustix::fs::open(
        directory,
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| at(directory)(e.into()))?;

    let lock =
        create(&opened, LOCK_NAME, OFlags::empty()).map_err(at(&directory.join(LOCK_NAME)))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(LogError::InUse(directory.to_owned())),
        Err(e) => return Err(at(&directory.join(LOCK_NAME))(e.into())),
    }

    let path = directory.join(FILE_NAME);
    let mut file = create(&opened, FILE_NAME, OFlags::empty()).map_err(at(&path))?;
    let mut repairs = Vec::new();
    let (end, next) = match measure(&file, &path) {
        Ok(Extent {
            end,
            next,
            unfinished,
        }) => {
            if unfinished > 0 {
                file.set_len(end).map_err(at(&path))?;
                repairs.push(Repair::CutOff {
                    bytes: unfinished,
                    kept: next.0,
                });
            }
            (end, next)
        }
        Err(damage @ LogError::Corrupt { .. }) => {
            let aside = move_aside(&opened).map_err(at(&path))?;
            repairs.push(Repair::MovedAside {
                to: directory.join(aside),
                damage: damage.to_string(),
            });
            file = create(&opened, FILE_NAME, OFlags::EXCL).map_err(at(&path))?;
            (0, Seq(0))
        }
        Err(other) => return Err(other),
    };
    let gap = Gap::with_notes(repairs.iter().map(Repair::to_string).collect());
    Ok((
        Writer::new(file, opened, path, lock, end, next, gap),
        repairs,
    ))
}

fn create(directory: &OwnedFd, name: &str, extra: OFlags) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    let file = openat(directory, name, flags, FILE_MODE)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file; move it away"));
    }
    Ok(file.into())
}

struct Extent {
    end: u64,
    next: Seq,
    unfinished: u64,
}

fn measure(file: &File, path: &Path) -> Result<Extent, LogError> {
    let copy = file.try_clone().map_err(|cause| LogError::Open {
        path: path.to_owned(),
        cause,
    })?;
    let mut scanner = Scanner::new(copy, path);
    loop {
        if let Step::End { unfinished } = scanner.step()? {
            let (end, next) = scanner.place();
            return Ok(Extent {
                end,
                next,
                unfinished,
            });
        }
    }
}

/// Renames the log to the first free `flows.corrupt-N.binpb`. The lock keeps other writers from doing the same.
fn move_aside(directory: &OwnedFd) -> io::Result<String> {
    for number in 1_u32.. {
        let name = format!("flows.corrupt-{number}.binpb");
        match statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => {}
            Err(Errno::NOENT) => {
                renameat(directory, FILE_NAME, directory, &name)?;
                return Ok(name);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Err(io::Error::other(
        "no free name for the damaged log; move the old ones away",
    ))
}
