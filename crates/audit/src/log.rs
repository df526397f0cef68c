//! The way in: one record, one slot, one answer.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_model::flow::Flow;

use crate::attend::Attendant;
use crate::disk::Disk;
use crate::hot::Hot;
use crate::keys::{FieldKey, Keys, Which};
use crate::open::Repair;
use crate::writer::{Purpose, Writer};
use crate::{LogError, Seq, leaf, open};

thread_local! {
    /// Where a record is put together, before the lock: at most as long as the longest.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// When a record counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// In the kernel's page cache: the end of any process loses none. It is written back within about a second, which a power
    /// failure or a crash of the kernel may cost.
    #[default]
    Memory,
    /// On the disk. Records that come while the disk is busy are written together.
    Disk,
}

impl Durability {
    /// As options and status write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// How a log is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// When a record counts as kept.
    pub durability: Durability,
    /// The user who will write it, where that is not who opens it.
    pub owner: Option<u32>,
}

/// The one writer of a log. Shared by reference between threads.
///
/// When the disk is full or fails, every call is refused until it recovers, which is tried again at most ten
/// times a second, by the next call or whoever attends to the log. After a failure to write back, all that the disk may lack is written
/// again first. What was refused in between is counted, and the first thing the log writes
/// then is an `event` with that count (`unrecorded denials`).
pub struct Log {
    // Ends before what it works on.
    attendant: Mutex<Option<Attendant>>,
    writer: Arc<Mutex<Writer>>,
    hot: Arc<Hot>,
    keys: Arc<Keys>,
    disk: Option<Disk>,
    repairs: Vec<Repair>,
}

impl Log {
    /// Opens (or creates) the log in `directory`, makes void the slot of a record that a crash left half written, moves
    /// what is damaged aside, and locks out a second writer.
    ///
    /// A full disk is no error here: [`Log::trouble`] names it, and records are refused until it recovers.
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        Self::open_with(directory, Options::default())
    }

    /// The same, as `options` say.
    pub fn open_with(directory: &Path, options: Options) -> Result<Self, LogError> {
        let hot = Arc::new(Hot::open(directory)?);
        let durable = options.durability == Durability::Disk;
        let (writer, repairs) = open::writer(&hot, directory, durable)?;
        let keys = Keys::open(directory)?;
        // Made beforehand. Without one it is tried again when a record needs it, which says what is wrong.
        let _later = keys.current(|| writer.place());
        if let Some(owner) = options.owner {
            hot.hand_over(owner)?;
            keys.hand_over(owner)?;
        }
        Ok(Self {
            attendant: Mutex::new(None),
            writer: Arc::new(Mutex::new(writer)),
            hot,
            keys: Arc::new(keys),
            disk: durable.then(Disk::default),
            repairs,
        })
    }

    /// Starts the thread that does beforehand what a record should not wait for. Without it everything is done all the
    /// same, in the record that needs it; but with [`Durability::Memory`] writing back is then left to the kernel, which tells nobody
    /// that it failed.
    pub fn attend(&self) -> std::io::Result<()> {
        let attendant = Attendant::start(self.writer.clone(), self.hot.clone(), self.keys.clone())?;
        *self
            .attendant
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(attendant);
        Ok(())
    }

    /// What [`Log::open`] mended. For messages: the log puts an `event` for each before its first record itself.
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// Takes the record of something that has not happened yet. It is kept, as the log's [`Durability`] says, when this
    /// returns.
    ///
    /// `Err`: the attempt it describes must be denied. It is already counted as denied without a record, so do
    /// not hand it to [`Log::record_after`] as well. Unset `schema`, `time_ns` and `count` are filled in.
    pub fn record(&self, flow: &Flow) -> Result<Seq, LogError> {
        self.take(flow, Purpose::Before)
    }

    /// Takes the record of what has already happened (a close, a denial), which may use the room that
    /// [`Log::record`] leaves untouched. `Err`: it is counted, and there is nothing more to do about it.
    pub fn record_after(&self, flow: &Flow) -> Result<Seq, LogError> {
        self.take(flow, Purpose::After)
    }

    /// The key for the values of a record that comes now; it is on the disk. `Err`: there is none, and what such a record
    /// describes must not happen: see [`Log::refuse`].
    pub fn field_key(&self) -> Result<Arc<FieldKey>, LogError> {
        self.keys.current(|| self.writer().place())
    }

    /// Counts a record that cannot be made, as one that [`Log::record`] did not take.
    pub fn refuse(&self, flow: &Flow, error: LogError) -> Result<Seq, LogError> {
        self.writer().take(
            Err(error),
            Purpose::Before,
            flow.count,
            &flow.node,
            flow.time_ns,
        )
    }

    /// The numbers of the keys that are meant.
    pub fn keys_of(&self, which: Which) -> Result<Vec<u64>, LogError> {
        self.keys.of(which)
    }

    /// The keys that are meant, to be handed to [`Log::delete_keys`]. One that is in use is not used any more.
    pub fn select_keys(&self, which: Which) -> Result<Vec<u64>, LogError> {
        self.keys.select(which, || self.writer().place())
    }

    /// Deletes keys for good. How many are gone, and what went wrong with the first that is not.
    pub fn delete_keys(&self, numbers: &[u64]) -> (u64, Option<LogError>) {
        self.keys.delete(numbers)
    }

    /// Sequence number the next record will get.
    pub fn head(&self) -> Seq {
        self.writer().next()
    }

    /// Bytes of the records since the segment it was opened at.
    pub fn bytes(&self) -> u64 {
        self.writer().bytes()
    }

    /// Bytes that the disk has already given for records to come.
    pub fn room(&self) -> u64 {
        self.writer().ahead()
    }

    /// Why it takes nothing right now, if so, with the fix.
    pub fn trouble(&self) -> Option<String> {
        let (trouble, before, next) = {
            let mut writer = self.writer();
            let before = writer.next();
            let trouble = writer.trouble().map(LogError::to_string);
            (trouble, before, writer.next())
        };
        // What it said of itself when it recovered is a record like any other.
        match &self.disk {
            Some(disk) if next > before => disk
                .keep(Seq(next.0 - 1), &self.writer)
                .err()
                .map(|error| error.to_string()),
            _ => trouble,
        }
    }

    /// The numbers of the records that the disk did not keep and memory had no more, if there are any since it was opened.
    pub fn lost(&self) -> Option<String> {
        self.writer().lost()
    }

    /// When a record counts as kept.
    pub fn durability(&self) -> Durability {
        match self.disk {
            Some(_) => Durability::Disk,
            None => Durability::Memory,
        }
    }

    /// Removes the segments whose records all come before `before`, because they are kept elsewhere. The segment in use always
    /// stays. Gives how many were removed.
    pub fn release(&self, before: Seq) -> Result<usize, LogError> {
        let own = self.writer().in_use();
        self.hot.release(before, own)
    }

    fn take(&self, flow: &Flow, purpose: Purpose) -> Result<Seq, LogError> {
        let taken = BYTES.with_borrow_mut(|bytes| {
            let leaf = leaf::encode_into(flow, bytes).map(|()| bytes.as_slice());
            self.writer()
                .take(leaf, purpose, flow.count, &flow.node, flow.time_ns)
        });
        match (&self.disk, taken) {
            (Some(disk), Ok(seq)) => disk.keep(seq, &self.writer).map(|()| seq),
            (_, taken) => taken,
        }
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Every step of the writer leaves it consistent or fails its next check, so a panic elsewhere is no reason
    /// to stop recording.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("repairs", &self.repairs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::segment::{HEADER_LEN, Header};
    use crate::{closed_segments, hot_directory};

    #[test]
    fn a_segment_that_is_a_day_old_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let record = |log: &Log| log.record(&Flow::default()).unwrap();
        let age = |ns: u64| {
            let last = fs::read_dir(hot_directory(directory.path())).unwrap();
            let last = last
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|end| end == "seg"))
                .max()
                .unwrap();
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(last)
                .unwrap();
            let mut bytes = [0; HEADER_LEN];
            file.read_exact_at(&mut bytes, 0).unwrap();
            let mut header = Header::decode(&bytes).unwrap();
            header.created_ns = leaf::wall_clock_ns() - ns;
            file.write_all_at(&header.encode(), 0).unwrap();
        };
        let day = 24 * 3_600_000_000_000;
        record(&Log::open(directory.path()).unwrap());
        for (old, closed) in [(day - 60_000_000_000, 0), (day + 1_000_000_000, 1)] {
            age(old);
            let log = Log::open(directory.path()).unwrap();
            log.attend().unwrap();
            // The next segment is made ahead.
            while log.room() < 2 * 1024 * 1024 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            std::thread::sleep(2 * crate::writer::FILE_CHECK);
            record(&log);
            assert_eq!(closed_segments(directory.path()).unwrap().len(), closed);
        }
        // The next one is young.
        let log = Log::open(directory.path()).unwrap();
        std::thread::sleep(2 * crate::writer::FILE_CHECK);
        assert_eq!(record(&log), Seq(3));
        assert_eq!(closed_segments(directory.path()).unwrap().len(), 1);
    }
}
