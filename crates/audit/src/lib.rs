//! The flow log: an append-only sequence of records of what workloads tried.
//!
//! What comes in: [`Flow`](ringfence_model::flow::Flow) records. What goes out: a sequence number, once the record
//! is out of this process's memory; and, to readers, the records again. An attempt that the log cannot take must
//! not happen: every error of [`Log::record`] means *deny*. What this crate never does: decide, drop, reorder,
//! or change a record that it has acknowledged.
//!
//! Records lie in segments, `hot/NUMBER.seg`: preallocated files that are mapped into memory (`segment.rs` has the bytes). A
//! record's sequence number is its position, from 0. The narrow waist is `record(flow) -> seq` and "records from `seq`
//! on"; what lies behind may change without anyone else noticing.
//!
//! What a disk fails to write back is written again from the mapping before anything more is taken (`rescue.rs`), or by the next start
//! (`unsigned.rs`); what is lost has a record that says so in its place.
//!
//! Start reading at [`Log`] for the way in, at [`Reader`] for the way out, at `segment.rs` for the bytes.
#![deny(unsafe_code)]

mod attend;
mod direct;
mod disk;
mod error;
mod gap;
mod hot;
mod keys;
mod leaf;
mod log;
mod map;
mod open;
pub mod plain;
mod reader;
mod rescue;
mod scan;
mod segment;
pub mod tree;
mod unsigned;
mod writer;

pub use error::LogError;
pub use keys::{FieldKey, HMAC_LEN, Which, keys_directory};
pub use leaf::RECORD_MAX;
pub use log::{Durability, Log, Options};
pub use open::Repair;
pub use reader::{Mark, Reader, Wait, pause};
pub use segment::{MAGIC as SEGMENT_MAGIC, void_leaf};

/// Operation of the event by which the log says that the clock was set back.
pub const CLOCK_SET_BACK: &str = "clock set back";

/// Operation of the event that stands in the place of a record that the disk did not keep.
pub const RECORD_LOST: &str = "record lost";

/// Operation of the event by which the log names records that stand in it and were refused.
pub const RECORDS_REFUSED: &str = "records refused";

/// Where the segments of the log in `directory` are.
pub fn hot_directory(directory: &std::path::Path) -> std::path::PathBuf {
    directory.join(hot::HOT)
}

/// A segment behind which the log has gone on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedSegment {
    /// Where it is.
    pub path: std::path::PathBuf,
    /// Its first record.
    pub first: Seq,
    /// The first record of the segment after it.
    pub before: Seq,
}

/// The closed segments of the log in `directory`, from the oldest. A file that only has the name of a segment closes none: it is
/// an error.
pub fn closed_segments(directory: &std::path::Path) -> Result<Vec<ClosedSegment>, LogError> {
    let hot = hot_directory(directory);
    let firsts = match hot::list(&hot) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(LogError::at(&hot))?,
    };
    let mut closed = Vec::new();
    for pair in firsts.windows(2) {
        match scan::Scanner::open(&hot.join(segment::name(pair[1])), pair[1]) {
            Ok(_) => {}
            // Sealed and removed since it was listed, and so was what is before it.
            Err(LogError::Open { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                continue;
            }
            Err(other) => return Err(other),
        }
        closed.push(ClosedSegment {
            path: hot.join(segment::name(pair[0])),
            first: pair[0],
            before: pair[1],
        });
    }
    Ok(closed)
}

/// Position of a record in the log, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
