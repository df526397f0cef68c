//! Puts records at the end of the file, or leaves the file as it was.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, fstat, statat};
use rustix::io::Errno;

use crate::gap::{Gap, again};
use crate::open::FILE_NAME;
use crate::room::{LAST_CHUNK, Purpose, Room, is_full};
use crate::{LogError, Seq, frame};

/// How often the writer looks whether its file still goes by its name.
const NAME_CHECK: Duration = Duration::from_secs(1);

/// The end of the file, and everything that must be true of it.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    directory: OwnedFd,
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
    end: u64,
    next: Seq,
    room: Room,
    gap: Gap,
    /// Bytes beyond `end` that could not be cut off again.
    dirty: bool,
    /// Name of the node, from the latest record: events of the log carry it.
    node: String,
    name_checked: Instant,
}

impl Writer {
    /// Takes over an opened file that holds `next` whole records in `end` bytes.
    pub(crate) fn new(
        file: File,
        directory: OwnedFd,
        path: PathBuf,
        lock: File,
        end: u64,
        next: Seq,
        gap: Gap,
    ) -> Self {
        let mut writer = Self {
            file,
            directory,
            path,
            _lock: lock,
            end,
            next,
            room: Room::from(end),
            gap,
            dirty: false,
            node: String::new(),
            name_checked: Instant::now(),
        };
        let now = Instant::now();
        if let Err(error) = writer.secure_some() {
            writer.gap.enter(&error, now);
        }
        writer
    }

    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn ahead(&self) -> Option<u64> {
        self.room.ahead(self.end)
    }

    /// Writes one encoded record that stands for `count` and comes from `node`.
    pub(crate) fn take(
        &mut self,
        record: Result<&[u8], LogError>,
        purpose: Purpose,
        count: u64,
        node: &str,
    ) -> Result<Seq, LogError> {
        if self.node != node {
            node.clone_into(&mut self.node);
        }
        let now = Instant::now();
        let taken = record.and_then(|bytes| self.try_take(bytes, purpose, now));
        if let Err(error) = &taken {
            self.gap.lose(purpose, count, error, now);
        }
        taken
    }

    /// Why nothing is taken at the moment. Looks at the file, and tries to recover when that is due.
    pub(crate) fn trouble(&mut self) -> Option<&LogError> {
        let now = Instant::now();
        if self.gap.trouble().is_some() {
            self.recover(now);
        } else if let Err(error) = self.verify(now) {
            self.gap.enter(&error, now);
        }
        self.gap.trouble()
    }

    fn try_take(&mut self, bytes: &[u8], purpose: Purpose, now: Instant) -> Result<Seq, LogError> {
        if self.gap.trouble().is_some() && !self.recover(now) {
            let in_reserve = purpose == Purpose::After
                && self.gap.is_full()
                && self.room.holds(self.end, bytes.len() as u64, purpose);
            if let Some(error) = self.gap.trouble()
                && !in_reserve
            {
                return Err(again(error));
            }
        }
        let written = self.write(bytes, purpose, now);
        if let Err(error) = &written {
            self.gap.enter(error, now);
        }
        written
    }

    fn write(&mut self, bytes: &[u8], purpose: Purpose, now: Instant) -> Result<Seq, LogError> {
        self.verify(now)?;
        if self.gap.trouble().is_none() {
            self.say_what_was_lost(now)?;
        }
        self.append(bytes, purpose)
    }

    /// Tries to end the trouble. `false`: it lasts, or it is too early to try.
    fn recover(&mut self, now: Instant) -> bool {
        if !self.gap.may_retry(now) {
            return false;
        }
        let recovered = self
            .verify(now)
            .and_then(|()| self.secure_some())
            .and_then(|()| self.say_what_was_lost(now));
        match recovered {
            Ok(()) => self.gap.leave(),
            Err(ref error) => self.gap.enter(error, now),
        }
        recovered.is_ok()
    }

    fn say_what_was_lost(&mut self, now: Instant) -> Result<(), LogError> {
        while self.gap.owes()
            && let Some(event) = self.gap.event(&self.node, now)
        {
            let bytes = frame::encode(&event)?;
            self.append(&bytes, Purpose::Before)?;
            self.gap.said();
        }
        Ok(())
    }

    /// Whether the file is still the one that was left, and no one else changed it.
    fn verify(&mut self, now: Instant) -> Result<(), LogError> {
        if self.dirty {
            self.cut_back()?;
        }
        let stat = fstat(&self.file).map_err(io::Error::from)?;
        if stat.st_nlink == 0 {
            return Err(self.tampered("was removed; restart the node, it begins a new one"));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size != self.end {
            return Err(self.tampered(&format!(
                "has {size} bytes instead of {}: someone else changed it; restart the node, it keeps what can be read",
                self.end
            )));
        }
        if now.saturating_duration_since(self.name_checked) >= NAME_CHECK {
            match statat(&self.directory, FILE_NAME, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino) => {}
                Ok(_) => {
                    return Err(self.tampered("was replaced by another file; restart the node"));
                }
                Err(Errno::NOENT) => {
                    return Err(self.tampered("was moved away; move it back, or restart the node"));
                }
                // The enforcer's own user may not look into a directory of root's. The file itself is well.
                Err(Errno::ACCESS | Errno::PERM) => {}
                Err(e) => return Err(LogError::Io(e.into())),
            }
            self.name_checked = now;
        }
        Ok(())
    }

    /// Room for one more record of any size, beyond the reserve.
    fn secure_some(&mut self) -> Result<(), LogError> {
        self.room
            .secure(&self.file, self.end, LAST_CHUNK, Purpose::Before)
            .map_err(|e| self.refusal(e))
    }

    fn append(&mut self, bytes: &[u8], purpose: Purpose) -> Result<Seq, LogError> {
        self.room
            .secure(&self.file, self.end, bytes.len() as u64, purpose)
            .map_err(|e| self.refusal(e))?;
        if let Err(error) = self.file.write_all_at(bytes, self.end) {
            let refusal = self.refusal(error);
            self.dirty = true;
            // Tried again before the next record when it does not work now: `dirty` stays.
            return Err(self.cut_back().err().unwrap_or(refusal));
        }
        let seq = self.next;
        self.end += bytes.len() as u64;
        self.next = Seq(seq.0 + 1);
        Ok(seq)
    }

    /// Takes back what a failed write left beyond the end.
    fn cut_back(&mut self) -> Result<(), LogError> {
        self.room.cut_to(self.end);
        self.file.set_len(self.end).map_err(|e| self.refusal(e))?;
        self.dirty = false;
        Ok(())
    }

    fn tampered(&self, what: &str) -> LogError {
        LogError::Tampered(format!("{} {what}", self.path.display()))
    }

    fn refusal(&self, error: io::Error) -> LogError {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer whose descriptor cannot be written: every allocation and write is an error of the disk's kind.
    fn broken(directory: &std::path::Path) -> Writer {
        let (mut writer, _) = crate::open::writer(directory).unwrap();
        writer.file = File::open(directory.join(FILE_NAME)).unwrap();
        writer.room.cut_to(writer.end);
        writer
    }

    #[test]
    fn failing_disk_refuses_all_then_recovers_and_says_what_it_missed() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = broken(directory.path());
        let bytes = frame::encode(&ringfence_model::flow::Flow::default()).unwrap();
        for purpose in [Purpose::Before, Purpose::After, Purpose::Before] {
            let refusal = writer.take(Ok(&bytes), purpose, 1, "bank-1").unwrap_err();
            assert!(matches!(refusal, LogError::Io(_)), "{refusal}");
        }
        assert!(writer.trouble().is_some());
        assert_eq!(writer.next(), Seq(0));

        writer.file = File::options()
            .read(true)
            .write(true)
            .open(directory.path().join(FILE_NAME))
            .unwrap();
        assert!(
            writer
                .take(Ok(&bytes), Purpose::Before, 1, "bank-1")
                .is_err(),
            "too early to try again"
        );
        std::thread::sleep(crate::gap::RETRY_AFTER);
        assert_eq!(
            writer
                .take(Ok(&bytes), Purpose::Before, 1, "bank-1")
                .unwrap(),
            Seq(1)
        );
        assert!(writer.trouble().is_none());
        let mut reader = crate::Reader::open(directory.path()).unwrap();
        let (_, event) = reader.read().unwrap().unwrap();
        assert_eq!(
            (event.operation.as_str(), event.count),
            ("unrecorded denials", 4)
        );
    }

    #[test]
    fn bytes_that_could_not_be_taken_back_at_once_are_taken_back_later() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, _) = crate::open::writer(directory.path()).unwrap();
        let bytes = frame::encode(&ringfence_model::flow::Flow::default()).unwrap();
        writer.file.write_all_at(b"half a rec", 0).unwrap();
        writer.dirty = true;
        assert_eq!(
            writer.take(Ok(&bytes), Purpose::Before, 1, "").unwrap(),
            Seq(0)
        );
        assert_eq!(
            std::fs::read(directory.path().join(FILE_NAME)).unwrap(),
            bytes
        );
    }
}
