//! Why a log cannot be read as a whole.

use std::path::PathBuf;

use ringfence_archive::ArchiveError;
use ringfence_audit::LogError;

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is none.
    #[error("there is no flow log in {}; start a node with `ringfence up`, or name its state with --state", .0.display())]
    NoLog(PathBuf),
    /// The records that are not sealed cannot be read.
    #[error("{0}")]
    Log(#[from] LogError),
    /// A sealed file cannot be read.
    #[error("{0}")]
    Sealed(#[from] ArchiveError),
    /// A sealed file that is not what its name or its neighbour says.
    #[error("{path}: {what}; `ringfence audit verify` tells which records are right", path = path.display())]
    Misplaced {
        /// Which.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// A record that cannot be understood.
    #[error("record {0}: {1}")]
    NoRecord(u64, String),
    /// A record was there when the log was opened, and is not any more.
    #[error(
        "record {0} is not in the log any more: it was pruned meanwhile, or is damaged; try again"
    )]
    Gone(u64),
    /// The machine gives no thread.
    #[error("no thread to read with: {0}")]
    Threads(std::io::Error),
}

/// What to do where the log may not be read.
pub const OWNERS_ONLY: &str =
    "only the node's own user and root read its log: use that user, or sudo";

impl HistoryError {
    /// Whether whoever asks may not read the log.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Log(LogError::Open { cause, .. })
            | Self::Sealed(ArchiveError::Io { cause, .. }) => {
                cause.kind() == std::io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }
}
