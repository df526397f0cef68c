//! The way in: one record, one system call that writes, one answer.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringfence_model::flow::Flow;

use crate::open::Repair;
use crate::room::Purpose;
use crate::writer::Writer;
use crate::{LogError, Seq, frame, open};

thread_local! {
    /// Where a record is put together, before the lock: at most as long as the longest.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The one writer of a log. Shared by reference between threads.
///
/// When the disk is full or fails, every call is refused until it recovers, which is tried again at most ten
/// times a second, by the next call. What was refused in between is counted, and the first thing the log writes
/// then is an `event` with that count (`unrecorded denials`).
pub struct Log {
    writer: Mutex<Writer>,
    repairs: Vec<Repair>,
}

impl Log {
    /// Opens (or creates) the log in `directory`, cuts off a record that a crash left half written, moves a
    /// damaged log aside, and locks out a second writer.
    ///
    /// A full disk is no error here: [`Log::trouble`] names it, and records are refused until it recovers.
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        let (writer, repairs) = open::writer(directory)?;
        Ok(Self {
            writer: Mutex::new(writer),
            repairs,
        })
    }

    /// What [`Log::open`] mended. For messages: the log puts an `event` for each before its first record itself.
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// Takes the record of something that has not happened yet. It is in the page cache when this returns.
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

    /// Sequence number the next record will get.
    pub fn head(&self) -> Seq {
        self.writer().next()
    }

    /// Bytes of all records.
    pub fn bytes(&self) -> u64 {
        self.writer().end()
    }

    /// Bytes that the disk has already given for records to come; `None` where it cannot give ahead.
    pub fn room(&self) -> Option<u64> {
        self.writer().ahead()
    }

    /// Why it takes nothing right now, if so, with the fix.
    pub fn trouble(&self) -> Option<String> {
        self.writer().trouble().map(LogError::to_string)
    }

    fn take(&self, flow: &Flow, purpose: Purpose) -> Result<Seq, LogError> {
        BYTES.with_borrow_mut(|bytes| {
            let record = frame::encode_into(flow, bytes).map(|()| bytes.as_slice());
            self.writer().take(record, purpose, flow.count, &flow.node)
        })
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
