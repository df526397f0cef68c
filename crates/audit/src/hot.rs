//! The directory of segments that are written or not sealed yet, and how a segment comes into it.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, Dir, FallocateFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, Uid,
    chownat, fallocate, fchown, flock, fstat, fstatvfs, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::leaf::wall_clock_ns;
use crate::map::Map;
use crate::segment::{self, HEADER_LEN, Header};
use crate::{LogError, Seq};

/// Name of the directory of segments within that of the log.
pub(crate) const HOT: &str = "hot";
/// Locked by the writer as long as it lives.
const LOCK_NAME: &str = "lock";
/// How the names of segments begin that have no records yet.
const SPARE: &str = "spare-";
/// For the owner only.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
/// For the owner only.
const DIRECTORY_MODE: u32 = 0o700;

/// Bytes of the first segment. Each one after it is four times as large, up to [`SEGMENT_LARGE`].
pub(crate) const SEGMENT_FIRST: u64 = 1024 * 1024;
/// Bytes of the segments of a busy log.
pub(crate) const SEGMENT_LARGE: u64 = 64 * 1024 * 1024;
/// Bytes of a segment on a disk that has no room for a larger one. Without room for this, the log is full.
pub(crate) const SEGMENT_LEAST: u64 = 256 * 1024;

/// Bytes of its file system that no segment takes: the tree over the log, and all else of the node, need room too.
const LEFT_FREE: u64 = 512 * 1024;

/// The directory, open.
#[derive(Debug)]
pub(crate) struct Hot {
    directory: OwnedFd,
    path: PathBuf,
    spares: AtomicU64,
    /// Held for its lock.
    _lock: File,
}

/// A segment that can be written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: File,
    pub(crate) map: Map,
    pub(crate) first: Seq,
    /// When it was begun, nanoseconds since 1970.
    pub(crate) begun_ns: u64,
    /// Its name in the directory.
    pub(crate) name: String,
}

impl Hot {
    /// Opens (or creates) the directory in `log`, and locks out a second writer.
    pub(crate) fn open(log: &Path) -> Result<Self, LogError> {
        let path = log.join(HOT);
        for directory in [log, &path] {
            match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(LogError::at(directory)(e));
                }
                _ => {}
            }
        }
        let directory = rustix::fs::open(
            &path,
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .map_err(|e| LogError::at(&path)(e.into()))?;
        let lock_path = path.join(LOCK_NAME);
        let lock = open_regular(&directory, LOCK_NAME, OFlags::CREATE)
            .map_err(LogError::at(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LogError::InUse(log.to_owned())),
            Err(e) => return Err(LogError::at(&lock_path)(e.into())),
        }
        // Not before it is ours: a writer at work needs what it has.
        if rustix::process::geteuid().is_root() {
            take_back(&directory, &path).map_err(LogError::at(&path))?;
        }
        let hot = Self {
            directory,
            path,
            spares: AtomicU64::new(0),
            _lock: lock,
        };
        hot.sweep().map_err(LogError::at(&hot.path))?;
        Ok(hot)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// From now on, `owner` writes here. What is open stays open.
    pub(crate) fn hand_over(&self, owner: u32) -> Result<(), LogError> {
        let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
        fchown(&self.directory, Some(uid), Some(gid))
            .map_err(|e| LogError::at(&self.path)(e.into()))
    }

    /// What a crash left of segments that never had a record.
    fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(SPARE)) {
                unlinkat(&self.directory, &name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// A segment of `wanted` bytes, or of fewer where the disk has no more, with all its room. It gets its first number
    /// when it is taken into use by [`Hot::begin`].
    pub(crate) fn spare(&self, wanted: u64) -> Result<Segment, LogError> {
        // Of a disk that is nearly full, half of what there is.
        let room = self.free()?.saturating_sub(LEFT_FREE);
        if room < SEGMENT_LEAST {
            return Err(self.refusal(io::ErrorKind::StorageFull.into()));
        }
        let half = (room / 2).max(SEGMENT_LEAST);
        let wanted = wanted.clamp(SEGMENT_LEAST, SEGMENT_LARGE);
        let mut length = if wanted <= half {
            wanted
        } else {
            1 << half.ilog2()
        };
        loop {
            match self.make(length) {
                Err(e) if is_full(&e) && length > SEGMENT_LEAST => {
                    length = (length / 4).max(SEGMENT_LEAST);
                }
                made => return made.map_err(|e| self.refusal(e)),
            }
        }
    }

    /// Bytes that its file system has for whoever is not root; more than any segment where it does not say.
    fn free(&self) -> Result<u64, LogError> {
        match fstatvfs(&self.directory) {
            Ok(found) => Ok(found.f_bavail.saturating_mul(found.f_frsize)),
            Err(Errno::NOSYS) => Ok(u64::MAX / 2),
            Err(e) => Err(LogError::Io(e.into())),
        }
    }

    /// A file of that many bytes under a name of its own, without a header.
    pub(crate) fn make(&self, length: u64) -> io::Result<Segment> {
        let number = self.spares.fetch_add(1, Ordering::Relaxed);
        let name = format!("{SPARE}{number}");
        let file = open_regular(&self.directory, &name, OFlags::CREATE | OFlags::EXCL)?;
        let made = allocate(&file, length).and_then(|()| {
            let bytes = usize::try_from(length).map_err(io::Error::other)?;
            Map::new(&file, bytes)
        });
        match made {
            Ok(map) => Ok(Segment {
                file,
                map,
                first: Seq(0),
                begun_ns: 0,
                name,
            }),
            Err(error) => {
                // It stays for the next sweep where even this fails.
                let _left = unlinkat(&self.directory, &name, AtFlags::empty());
                Err(error)
            }
        }
    }

    /// Gives a spare its place in the log: the segment that begins with `first`.
    pub(crate) fn begin(&self, spare: &mut Segment, first: Seq) -> Result<(), LogError> {
        let header = Header {
            first,
            created_ns: wall_clock_ns(),
            length: spare.map.len() as u64,
        };
        spare.map.write(0, &header.encode());
        if spare.map.lost() {
            return Err(LogError::Io(io::Error::other(format!(
                "{} was cut while it was made",
                self.path.join(&spare.name).display()
            ))));
        }
        let name = segment::name(first);
        renameat_with(
            &self.directory,
            &spare.name,
            &self.directory,
            &name,
            RenameFlags::NOREPLACE,
        )
        .map_err(|e| self.refusal(e.into()))?;
        spare.first = first;
        spare.begun_ns = header.created_ns;
        spare.name = name;
        Ok(())
    }

    /// Throws a spare away.
    pub(crate) fn discard(&self, spare: &Segment) {
        // It stays for the next sweep where this fails.
        let _left = unlinkat(&self.directory, &spare.name, AtFlags::empty());
    }

    /// Removes the segments behind which another begins with `before` or less, but never the one in use, which begins with `own`; `None`:
    /// there is none, perhaps because the disk is full.
    pub(crate) fn release(&self, before: Seq, own: Option<Seq>) -> Result<usize, LogError> {
        let failed = |name: &str, e: Errno| LogError::at(&self.path.join(name))(e.into());
        let mut removed = 0;
        let firsts = self.firsts().map_err(|e| failed("", e))?;
        for pair in firsts.windows(2) {
            // Whoever else writes here may have made a file with the name of a later one.
            if pair[1] > before || own.is_some_and(|own| pair[0] >= own) {
                break;
            }
            let name = segment::name(pair[0]);
            match unlinkat(&self.directory, &name, AtFlags::empty()) {
                Ok(()) => removed += 1,
                Err(Errno::NOENT) => {}
                Err(e) => return Err(failed(&name, e)),
            }
        }
        Ok(removed)
    }

    /// The same as [`list`], for a process that can reach the directory by no path any more.
    fn firsts(&self) -> Result<Vec<Seq>, Errno> {
        let mut firsts = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            firsts.extend(entry?.file_name().to_str().ok().and_then(segment::first_of));
        }
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// Opens a segment that is there, for writing.
    pub(crate) fn reopen(&self, name: &str, header: Header) -> io::Result<Segment> {
        let file = open_regular(&self.directory, name, OFlags::empty())?;
        let length = file.metadata()?.len();
        if length != header.length {
            return Err(io::Error::other(format!(
                "it has {length} bytes, and its header says {}",
                header.length
            )));
        }
        allocate(&file, length)?;
        let bytes = usize::try_from(length).map_err(io::Error::other)?;
        let map = Map::new(&file, bytes)?;
        Ok(Segment {
            file,
            map,
            first: header.first,
            begun_ns: header.created_ns,
            name: name.to_owned(),
        })
    }

    /// Renames `name` to the first free `NAME.damaged-N`. The lock keeps other writers from doing the same.
    pub(crate) fn move_aside(&self, name: &str) -> io::Result<PathBuf> {
        for number in 1_u32..10_000 {
            let aside = format!("{name}.damaged-{number}");
            match renameat_with(
                &self.directory,
                name,
                &self.directory,
                &aside,
                RenameFlags::NOREPLACE,
            ) {
                Ok(()) => return Ok(self.path.join(aside)),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(io::Error::other(
            "no free name for the damaged segment; move the old ones away",
        ))
    }

    /// Puts all bytes of `segment`, whose file is gone from its name, into a new file of that name.
    pub(crate) fn restore(&self, segment: &Segment, used: usize) -> Result<Segment, LogError> {
        let length = segment.map.len() as u64;
        let mut again = self.make(length).map_err(|e| self.refusal(e))?;
        let copied = copy(&segment.file, &again.file, used).and_then(|()| again.file.sync_data());
        if let Err(error) = copied {
            self.discard(&again);
            return Err(self.refusal(error));
        }
        renameat_with(
            &self.directory,
            &again.name,
            &self.directory,
            &segment.name,
            RenameFlags::NOREPLACE,
        )
        .map_err(|e| self.refusal(e.into()))?;
        again.first = segment.first;
        again.begun_ns = segment.begun_ns;
        again.name.clone_from(&segment.name);
        Ok(again)
    }

    /// Gives `again`, which has all of `segment`, its place.
    pub(crate) fn replace(&self, again: &mut Segment, segment: &Segment) -> Result<(), LogError> {
        let failed = |e: Errno| self.refusal(e.into());
        let own = fstat(&segment.file).map_err(failed)?;
        match statat(&self.directory, &segment.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) if (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino) => {}
            Ok(_) => {
                return Err(
                    self.tampered(segment, "was replaced by another file; move that one away")
                );
            }
            Err(Errno::NOENT) => {}
            Err(e) => return Err(failed(e)),
        }
        renameat_with(
            &self.directory,
            &again.name,
            &self.directory,
            &segment.name,
            RenameFlags::empty(),
        )
        .map_err(failed)?;
        again.first = segment.first;
        again.begun_ns = segment.begun_ns;
        again.name.clone_from(&segment.name);
        Ok(())
    }

    /// Somebody did `what` to a segment.
    pub(crate) fn tampered(&self, segment: &Segment, what: &str) -> LogError {
        let path = self.path.join(&segment.name);
        LogError::Tampered(format!("{} {what}", path.display()))
    }

    pub(crate) fn refusal(&self, error: io::Error) -> LogError {
        if is_full(&error) {
            LogError::Full(format!(
                "{error}; free some on the file system of {}",
                self.path.display()
            ))
        } else {
            LogError::Io(error)
        }
    }
}

/// The segments in `hot`, by the numbers in their names.
pub(crate) fn list(hot: &Path) -> io::Result<Vec<Seq>> {
    let mut firsts = Vec::new();
    for entry in std::fs::read_dir(hot)? {
        if let Some(first) = entry?.file_name().to_str().and_then(segment::first_of) {
            firsts.push(first);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes the directory and its files root's again, as they are while root opens the log: root may have given up the right to
/// write what is another's, and keeps the right to give things to others.
pub(crate) fn take_back(directory: &OwnedFd, path: &Path) -> io::Result<()> {
    let root = (Some(Uid::ROOT), Some(Gid::ROOT));
    fchown(directory, root.0, root.1)?;
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        chownat(directory, &name, root.0, root.1, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn open_regular(directory: &OwnedFd, name: &str, extra: OFlags) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    let file = openat(directory, name, flags, FILE_MODE)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file; move it away"));
    }
    Ok(file.into())
}

/// Gives `file` its length, and all the blocks that takes, so that no store into it can find the disk full.
fn allocate(file: &File, length: u64) -> io::Result<()> {
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            // No such call there: what is written has its blocks.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                return if file.metadata()?.len() == length {
                    Ok(())
                } else {
                    write_zeros(file, length)
                };
            }
            Err(e) => return Err(e.into()),
        }
    }
}

fn write_zeros(file: &File, length: u64) -> io::Result<()> {
    let zeros = vec![0; HEADER_LEN * 1024];
    let mut at = 0;
    while at < length {
        let some = zeros
            .len()
            .min(usize::try_from(length - at).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..some], at)?;
        at += some as u64;
    }
    file.sync_data()
}

/// Copies the first `bytes` of one file to another.
fn copy(from: &File, to: &File, bytes: usize) -> io::Result<()> {
    let mut chunk = vec![0; 256 * 1024];
    let mut at = 0;
    while at < bytes {
        let some = chunk.len().min(bytes - at);
        from.read_exact_at(&mut chunk[..some], at as u64)?;
        to.write_all_at(&chunk[..some], at as u64)?;
        at += some;
    }
    Ok(())
}

/// Whether an error means that there is no room, as opposed to a failing disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
