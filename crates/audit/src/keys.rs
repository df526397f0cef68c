//! The keys of the HMACs that stand in records for values nobody may read: beside the log, not in it.
//!
//! A key is 32 random bytes, used for the records of one segment and of one day at most. Records name theirs by its number.
//! It is on the disk before the first record that uses it, and whoever deletes it there has redacted those values for good:
//! nobody can find out any more what an HMAC was made of, not even by trying values. Leaves and proofs stay as they are.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use rustix::fs::{
    AtFlags, CWD, Dir, Gid, Mode, OFlags, Uid, chownat, fchown, fdatasync, fsync, openat, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;

use crate::hot::take_back;
use crate::leaf::wall_clock_ns;
use crate::{LogError, Seq};

/// Name of the directory of keys within that of the log.
const KEYS: &str = "keys";
/// What the names of keys end in.
const EXTENSION: &str = ".key";
/// How a key's file begins; the last byte is the version.
const MAGIC: [u8; 8] = *b"RFKEY\0\0\x01";
/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of its file: magic, when it was made, the key.
const FILE_LEN: usize = 8 + 8 + KEY_LEN;
/// Bytes of an HMAC that stand in a record.
pub const HMAC_LEN: usize = 16;
/// For the owner only.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
/// For the owner only.
const DIRECTORY_MODE: u32 = 0o700;

/// How long a key is used. Redaction by date is as fine as that.
pub(crate) const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked whether the key in use is still there.
const KEY_CHECK: Duration = Duration::from_secs(1);
/// Between two tries to make a key, where that does not work.
const KEY_RETRY: Duration = Duration::from_millis(100);

/// A key, ready for use.
#[derive(Clone, Debug)]
pub struct FieldKey {
    number: u64,
    mac: Hmac<Sha256>,
}

impl FieldKey {
    fn new(number: u64, key: &[u8; KEY_LEN]) -> Result<Self, LogError> {
        let mac = Hmac::new_from_slice(key).map_err(|e| LogError::Io(io::Error::other(e)))?;
        Ok(Self { number, mac })
    }

    /// As records name it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The HMAC of a value and the name it goes by: HMAC-SHA-256 of the length of the name (32 bits, little-endian), the
    /// name, and the value, of which the first [`HMAC_LEN`] bytes stand in records.
    pub fn hmac(&self, name: &[u8], value: &[u8]) -> [u8; HMAC_LEN] {
        let whole = self.mac_of(name, value).finalize().into_bytes();
        std::array::from_fn(|at| whole[at])
    }

    /// Whether `hmac` is that of a value, found out in a time that tells nothing of where they differ.
    pub fn is_hmac(&self, hmac: &[u8; HMAC_LEN], name: &[u8], value: &[u8]) -> bool {
        self.mac_of(name, value).verify_truncated_left(hmac).is_ok()
    }

    fn mac_of(&self, name: &[u8], value: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        // A name is part of a message that came in 64 KiB at most.
        mac.update(&(name.len() as u32).to_le_bytes());
        mac.update(name);
        mac.update(value);
        mac
    }

    /// Reads the key of a number from the log in `log`; `None`: it is gone, and what it hid with it.
    pub fn read(log: &Path, number: u64) -> Result<Option<Self>, LogError> {
        let path = log.join(KEYS).join(name(number));
        let (key, _) = match read(CWD, &path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LogError::at(&path)(error)),
        };
        Self::new(number, &key).map(Some)
    }
}

/// Where the keys of the log in `directory` are.
pub fn keys_directory(directory: &Path) -> PathBuf {
    directory.join(KEYS)
}

/// Which keys are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// The lowest number.
    pub first: u64,
    /// The highest number.
    pub last: u64,
    /// Only those of which no use was made at this time (nanoseconds since 1970) or later.
    pub before_ns: Option<u64>,
}

/// The keys of a log that is written.
#[derive(Debug)]
pub(crate) struct Keys {
    directory: OwnedFd,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: Option<Arc<FieldKey>>,
    /// The highest number that a key has had.
    last: Option<u64>,
    /// The segment that `current` was made for.
    segment: Seq,
    made: Instant,
    looked: Instant,
    tried: Option<Instant>,
}

impl Keys {
    /// Opens (or creates) the directory in `log`. There is no key yet.
    pub(crate) fn open(log: &Path) -> Result<Self, LogError> {
        let path = keys_directory(log);
        let at = LogError::at(&path);
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(at(e)),
            _ => {}
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| at(e.into()))?;
        if rustix::process::geteuid().is_root() {
            take_back(&directory, &path).map_err(&at)?;
        }
        let now = Instant::now();
        let state = State {
            current: None,
            last: None,
            segment: Seq(0),
            made: now,
            looked: now,
            tried: None,
        };
        let mut keys = Self {
            directory,
            path,
            state: Mutex::new(state),
        };
        let last = keys.list().map_err(LogError::at(&keys.path))?.pop();
        if let Ok(state) = keys.state.get_mut() {
            state.last = last;
        }
        Ok(keys)
    }

    /// From now on, `owner` makes and deletes keys.
    pub(crate) fn hand_over(&self, owner: u32) -> Result<(), LogError> {
        let (uid, gid) = (Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)));
        let at = LogError::at(&self.path);
        // The keys before the directory: who may have given up the right to reach into what is another's does not need it.
        for number in self.list().map_err(&at)? {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            chownat(&self.directory, name(number), uid, gid, flags).map_err(|e| at(e.into()))?;
        }
        fchown(&self.directory, uid, gid).map_err(|e| at(e.into()))
    }

    /// The numbers of the keys there are, ascending. By the descriptor: the path may lead through what is another's.
    fn list(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            numbers.extend(entry?.file_name().to_str().ok().and_then(number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The key for a record that comes now. Without one, it makes one for the record `next` in `segment`.
    pub(crate) fn current(
        &self,
        place: impl FnOnce() -> (Seq, Seq),
    ) -> Result<Arc<FieldKey>, LogError> {
        if let Some(key) = &self.state().current {
            return Ok(Arc::clone(key));
        }
        // Not under the lock: the writer may wait for the disk.
        let (next, segment) = place();
        let mut state = self.state();
        if let Some(key) = &state.current {
            return Ok(Arc::clone(key));
        }
        if state.tried.is_some_and(|tried| tried.elapsed() < KEY_RETRY) {
            return Err(self.none("none could be made a moment ago"));
        }
        self.renew(&mut state, next, segment)
    }

    /// Makes the next key where the present one has been used for long enough, or is gone from the disk.
    pub(crate) fn attend(&self, next: Seq, segment: Seq) {
        let mut state = self.state();
        let Some(current) = state.current.clone() else {
            return;
        };
        if state.looked.elapsed() >= KEY_CHECK {
            state.looked = Instant::now();
            let there = statat(
                &self.directory,
                name(current.number),
                AtFlags::SYMLINK_NOFOLLOW,
            );
            if there.is_err() {
                // Nobody could check what was made with it. The record that needs one makes another, or is refused.
                state.current = None;
                return;
            }
        }
        if state.segment != segment || state.made.elapsed() >= KEY_LIFE {
            // Where it cannot be made, the present one is as good as it was.
            let _longer = self.renew(&mut state, next, segment);
        }
    }

    fn renew(&self, state: &mut State, next: Seq, segment: Seq) -> Result<Arc<FieldKey>, LogError> {
        state.tried = Some(Instant::now());
        // Never a number twice: records name keys by it.
        let number = match state.last {
            Some(last) => next.0.max(last.saturating_add(1)),
            None => next.0.max(1),
        };
        let key = self.make(number)?;
        state.last = Some(number);
        let key = Arc::new(FieldKey::new(number, &key)?);
        state.current = Some(Arc::clone(&key));
        state.segment = segment;
        state.made = Instant::now();
        Ok(key)
    }

    /// A new key, on the disk.
    fn make(&self, number: u64) -> Result<[u8; KEY_LEN], LogError> {
        let name = name(number);
        let at = |error: io::Error| self.none(&format!("{name}: {error}"));
        let mut key = [0; KEY_LEN];
        let drawn = getrandom(&mut key, GetRandomFlags::empty()).map_err(|e| at(e.into()))?;
        if drawn != KEY_LEN {
            return Err(at(io::ErrorKind::UnexpectedEof.into()));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let written = openat(&self.directory, &name, flags, FILE_MODE)
            .map_err(io::Error::from)
            .and_then(|file| {
                let mut file = File::from(file);
                let mut bytes = [0; FILE_LEN];
                bytes[..8].copy_from_slice(&MAGIC);
                bytes[8..16].copy_from_slice(&wall_clock_ns().to_le_bytes());
                bytes[16..].copy_from_slice(&key);
                file.write_all(&bytes)?;
                fdatasync(&file)?;
                Ok(fsync(&self.directory)?)
            });
        match written {
            Ok(()) => Ok(key),
            Err(error) => {
                // No record names it. Where even this fails, its number is not given again.
                let _left = unlinkat(&self.directory, &name, AtFlags::empty());
                Err(at(error))
            }
        }
    }

    /// The same as [`Keys::of`]. One in use ends its use now, before anything is deleted.
    pub(crate) fn select(
        &self,
        which: Which,
        place: impl FnOnce() -> (Seq, Seq),
    ) -> Result<Vec<u64>, LogError> {
        let (next, segment) = place();
        let mut state = self.state();
        let selected = self.of(which)?;
        let current = state.current.as_ref().map(|key| key.number);
        if current.is_some_and(|current| selected.contains(&current)) {
            self.renew(&mut state, next, segment)?;
        }
        Ok(selected)
    }

    /// The numbers of the keys that are meant, in ascending order.
    pub(crate) fn of(&self, which: Which) -> Result<Vec<u64>, LogError> {
        let now = wall_clock_ns();
        let numbers = self.list().map_err(LogError::at(&self.path))?;
        let mut selected = Vec::new();
        for (place, number) in numbers.iter().enumerate() {
            if !(which.first..=which.last).contains(number) {
                continue;
            }
            if let Some(before) = which.before_ns {
                // It was used until the next one was made.
                let end = match numbers.get(place + 1) {
                    Some(next) => {
                        read(&self.directory, Path::new(&name(*next)))
                            .map_err(LogError::at(&self.path.join(name(*next))))?
                            .1
                    }
                    None => now,
                };
                if end > before {
                    continue;
                }
            }
            selected.push(*number);
        }
        Ok(selected)
    }

    /// Deletes keys for good. How many are gone, and what went wrong with the first that is not.
    pub(crate) fn delete(&self, numbers: &[u64]) -> (u64, Option<LogError>) {
        let mut gone = 0;
        let mut trouble = None;
        for number in numbers {
            match unlinkat(&self.directory, name(*number), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => gone += 1,
                Err(error) => {
                    let path = self.path.join(name(*number));
                    trouble.get_or_insert(LogError::at(&path)(error.into()));
                }
            }
        }
        if let Err(error) = fsync(&self.directory) {
            trouble.get_or_insert(LogError::at(&self.path)(error.into()));
        }
        (gone, trouble)
    }

    fn none(&self, why: &str) -> LogError {
        LogError::Io(io::Error::other(format!(
            "there is no key for values that stand in no record, in {}: {why}",
            self.path.display()
        )))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `00000000000000100000.key`
fn name(number: u64) -> String {
    format!("{number:020}{EXTENSION}")
}

/// The number of a key, by the name of its file.
fn number(file: &str) -> Option<u64> {
    let number = file.strip_suffix(EXTENSION)?.parse().ok()?;
    (name(number) == file).then_some(number)
}

/// A key, and when it was made.
fn read(directory: impl AsFd, path: &Path) -> io::Result<([u8; KEY_LEN], u64)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, path, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(FILE_LEN as u64 + 1).read_to_end(&mut bytes)?;
    let bytes: [u8; FILE_LEN] = bytes
        .try_into()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not a key"))?;
    let (magic, rest) = bytes.split_at(8);
    let (made, key) = rest.split_at(8);
    if magic != MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a key",
        ));
    }
    let mut words = ([0; KEY_LEN], [0; 8]);
    words.0.copy_from_slice(key);
    words.1.copy_from_slice(made);
    Ok((words.0, u64::from_le_bytes(words.1)))
}

#[cfg(test)]
mod tests;
