//! The flow log, first form. Contract skeleton; the author of this crate replaces the bodies and splits it into files.
#![forbid(unsafe_code)]
#![allow(missing_docs)]

use std::path::Path;

use ringfence_model::flow::Flow;

/// Position of a record in the log, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// The one writer of a log. Shared by reference between threads.
pub struct Log {}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the flow log has no room: {0}")]
    Full(String),
    #[error("the flow log cannot be written: {0}")]
    Io(#[from] std::io::Error),
}

impl Log {
    /// Opens (or creates) the log in `dir`, cuts off a record that a crash left half written, locks it against a second writer.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        unimplemented!()
    }
    /// In the page cache when this returns. `Err`: the attempt it describes must be denied.
    pub fn record(&self, flow: &Flow) -> Result<Seq, LogError> {
        unimplemented!()
    }
    /// For what already happened (close, denial): may use the reserve that `record` leaves untouched.
    pub fn record_after(&self, flow: &Flow) -> Result<Seq, LogError> {
        unimplemented!()
    }
    /// Sequence number the next record will get.
    pub fn head(&self) -> Seq {
        unimplemented!()
    }
    /// Why it takes nothing right now, if so.
    pub fn trouble(&self) -> Option<String> {
        unimplemented!()
    }
}
