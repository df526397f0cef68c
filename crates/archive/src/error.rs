//! What can go wrong with a sealed file.

use std::io;
use std::path::PathBuf;

/// Why a stretch was not sealed, or a sealed file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be made, written, opened or read.
    #[error("{path}: {cause}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// There is nothing to seal.
    #[error("{path}: a sealed file holds at least one record", path = path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// A leaf that no log can hold.
    #[error("{path}: record {seq} has {length} bytes, more than {max}", path = path.display(), max = crate::LEAF_MAX)]
    TooLong {
        /// Which file it was meant for.
        path: PathBuf,
        /// Its position in the log.
        seq: u64,
        /// Its length.
        length: usize,
    },
    /// The sequence numbers go beyond what a column holds.
    #[error("{path}: record {seq} has a sequence number beyond {max}", path = path.display(), max = i64::MAX)]
    SeqTooLarge {
        /// Which file it was meant for.
        path: PathBuf,
        /// The number.
        seq: u64,
    },
    /// The columns cannot be written.
    #[error("{path}: {cause}", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the writer of Parquet says.
        cause: parquet::errors::ParquetError,
    },
    /// Not a sealed file, or one of another version.
    #[error("{path}: {what}", path = path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What it lacks.
        what: String,
    },
    /// A sealed file that is not as it was written.
    #[error(
        "{path} is damaged at row {row}: {what}; take a copy of it, or its records from a backup",
        path = path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// The first row, from 0, that cannot be read.
        row: u64,
        /// What is wrong.
        what: String,
    },
}
