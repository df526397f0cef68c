//! What can be wrong with the log.

use std::io;
use std::path::{Path, PathBuf};

use crate::RECORD_MAX;

/// Why a record was not taken, or not found.
///
/// From [`Log::record`](crate::Log::record) each of them means that the attempt must be denied.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk is full, or a quota or file size limit is reached. New records are refused until there is room.
    #[error("the flow log has no room: {0}")]
    Full(String),
    /// The disk or its file system failed.
    #[error("the flow log cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The file was removed, moved, cut or written to by someone else. Lasts until the log is opened again.
    #[error("the flow log is not as it was left: {0}")]
    Tampered(String),
    /// Another process holds the log for writing.
    #[error(
        "{0} has a writer already; stop the node that uses it, or give this one a state of its own"
    )]
    InUse(PathBuf),
    /// The record is over [`RECORD_MAX`]. The log itself is well.
    #[error("a record of {0} bytes is over the limit of {RECORD_MAX}; shorten its texts")]
    TooLarge(usize),
    /// Bytes that no writer of ours left there.
    #[error("{path}: record {seq} at byte {byte}: {what}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Sequence number of the record that cannot be read.
        seq: u64,
        /// Where it starts in the file.
        byte: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Records are not where they were: sealed, pruned, or lost.
    #[error("records {from} to {to} are not in {path}; read on at record {next}", to = .next - 1, path = .path.display())]
    Gone {
        /// The directory.
        path: PathBuf,
        /// The first that is not there.
        from: u64,
        /// The first that is there again.
        next: u64,
    },
    /// There is nothing to read.
    #[error(
        "there is no flow log in {0}; start a node with `ringfence up`, or name its state with --state"
    )]
    Missing(PathBuf),
    /// The directory or file cannot be opened.
    #[error("{path} cannot be opened: {cause}")]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// Why it was not.
        cause: io::Error,
    },
}

impl LogError {
    /// What was to be opened is `path`.
    pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::Open {
            path: path.clone(),
            cause,
        }
    }
}
