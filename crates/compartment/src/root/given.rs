//! A file of the host that a workload was given to read, as a stream: it is to be read, and nothing else.
//!
//! Whoever owns a file may change its mode, its times and its attributes by any descriptor of it, and all who share
//! an open file share its offset, its owner for signals and its locks. As an ordinary user the workload is the owner
//! as often as not. So the file is opened anew, through a read-only mount that is nowhere to be seen.

use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};

use super::plan::{self, Access, Examined};

/// An open file of the workload's own, at the same offset. `None` where `stream` is no file, may be written, has no name
/// any more, or cannot be opened by this user: then it stays what it is. Before the host's tree is gone.
pub(crate) fn read_only(stream: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let found = rustix::fs::fstat(stream)?;
    let reads = rustix::fs::fcntl_getfl(stream)? & OFlags::ACCMODE == OFlags::RDONLY;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || !reads {
        return Ok(None);
    }
    let name = std::fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd()))?;
    let same = Examined::at(&name)
        .ok()
        .filter(|at| at.is(found.st_dev, found.st_ino));
    let Some(mount) = same.and_then(|at| plan::detach_examined(&name, &at, Access::Read).ok())
    else {
        return Ok(None);
    };
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(own) = rustix::fs::open(path, flags, Mode::empty()) else {
        return Ok(None);
    };
    let mut own = std::fs::File::from(own);
    own.seek(SeekFrom::Start(rustix::fs::tell(stream)?))?;
    Ok(Some(own.into()))
}
