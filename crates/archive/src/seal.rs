//! The way in: leaves to columns, a row group at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::columns::{COLUMNS, schema};
use crate::file::Unfinished;
use crate::footer::About;
use crate::group::Group;
use crate::{ArchiveError, LEAF_MAX, SEALED_FORM};

/// Rows of a row group, at most. Readers pass over a whole one by its time and sequence numbers.
pub const GROUP_ROWS: usize = 100_000;
/// Bytes of leaves that a row group is made of, at most, and so about what sealing holds in memory; of common traffic, half of it.
pub const GROUP_BYTES: usize = 32 * 1024 * 1024;
/// Rows of a page, at most: what a reader has to decode for one row.
pub(crate) const PAGE_ROWS: usize = 20_000;
/// Measured: level 3 takes 0.3 % less room than level 1, level 12 takes 3 % less.
pub const ZSTD_LEVEL: i32 = 1;
/// Beyond this the values of a column are not looked up any more but told one after the other.
pub(crate) const DICTIONARY_BYTES: usize = 1024 * 1024;

/// What came of sealing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The file.
    pub path: PathBuf,
    /// Its first record.
    pub first: u64,
    /// Its last record.
    pub last: u64,
    /// How many it holds.
    pub records: u64,
    /// Length of all leaves together.
    pub leaf_bytes: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Rows that keep their leaf beside the columns, because these do not make it.
    pub kept_whole: u64,
}

/// Seals `leaves`, of which the first is record `first`, as `path`. `root` is the hash of the tree up to the last of them;
/// it is kept in the file and not looked at. The file is there whole, and on disk, or it is not there.
pub fn seal<L: AsRef<[u8]>>(
    first: u64,
    leaves: impl IntoIterator<Item = L>,
    root: [u8; 32],
    path: &Path,
) -> Result<Summary, ArchiveError> {
    let mut sealer = Sealer::create(first, path)?;
    for leaf in leaves {
        sealer.push(leaf.as_ref())?;
    }
    sealer.finish(root)
}

/// A sealed file that is being made. Dropped before [`Sealer::finish`], it leaves nothing behind.
pub struct Sealer {
    path: PathBuf,
    unfinished: Unfinished,
    writer: SerializedFileWriter<File>,
    about: About,
    group: Group,
    leaf_bytes: u64,
    kept_whole: u64,
}

impl Sealer {
    /// Begins the file whose first record is `first`.
    pub fn create(first: u64, path: &Path) -> Result<Self, ArchiveError> {
        let io = |cause| io_error(path, cause);
        let unfinished = Unfinished::create(path).map_err(io)?;
        let sink = unfinished.file().try_clone().map_err(io)?;
        let writer = schema()
            .and_then(|schema| SerializedFileWriter::new(sink, schema, Arc::new(properties())))
            .map_err(|cause| write_error(path, cause))?;
        Ok(Self {
            path: path.to_owned(),
            unfinished,
            writer,
            about: About {
                form: SEALED_FORM,
                first,
                records: 0,
                root: [0; 32],
                digests: Vec::new(),
            },
            group: Group::new().map_err(io)?,
            leaf_bytes: 0,
            kept_whole: 0,
        })
    }

    /// Takes the next leaf, whatever is in it.
    pub fn push(&mut self, leaf: &[u8]) -> Result<(), ArchiveError> {
        let path = || self.path.clone();
        let seq = self.about.first.saturating_add(self.about.records);
        if leaf.len() > LEAF_MAX {
            let length = leaf.len();
            return Err(ArchiveError::TooLong {
                path: path(),
                seq,
                length,
            });
        }
        let Ok(stored) = i64::try_from(seq) else {
            return Err(ArchiveError::SeqTooLarge { path: path(), seq });
        };
        if self.group.is_full(leaf.len()) {
            self.flush()?;
        }
        self.kept_whole += u64::from(!self.group.push(stored, leaf));
        self.about.records += 1;
        self.leaf_bytes += leaf.len() as u64;
        Ok(())
    }

    /// Ends the file and gives it its name.
    pub fn finish(mut self, root: [u8; 32]) -> Result<Summary, ArchiveError> {
        if self.about.records == 0 {
            return Err(ArchiveError::Empty { path: self.path });
        }
        self.flush()?;
        self.about.root = root;
        for (key, value) in self.about.pairs() {
            self.writer
                .append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        let path = self.path.clone();
        self.writer
            .finish()
            .map_err(|cause| write_error(&path, cause))?;
        let file_bytes = self.writer.bytes_written() as u64;
        self.unfinished
            .finish()
            .map_err(|cause| io_error(&path, cause))?;
        Ok(Summary {
            path,
            first: self.about.first,
            last: self.about.last(),
            records: self.about.records,
            leaf_bytes: self.leaf_bytes,
            file_bytes,
            kept_whole: self.kept_whole,
        })
    }

    /// Writes the rows that have come as a row group, and notes the hashes of its columns.
    fn flush(&mut self) -> Result<(), ArchiveError> {
        let digests = self
            .group
            .write(&mut self.writer)
            .map_err(|cause| write_error(&self.path, cause))?;
        self.about.digests.extend(digests);
        Ok(())
    }
}

fn io_error(path: &Path, cause: io::Error) -> ArchiveError {
    ArchiveError::Io {
        path: path.to_owned(),
        cause,
    }
}

fn write_error(path: &Path, cause: ParquetError) -> ArchiveError {
    ArchiveError::Write {
        path: path.to_owned(),
        cause,
    }
}

fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by(format!("ringfence version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: 0,
            descending: false,
            nulls_first: false,
        }]));
    for column in COLUMNS {
        let path = ColumnPath::from(column.name);
        properties = match column.encoding() {
            None => properties.set_column_dictionary_enabled(path, true),
            Some(encoding) => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, encoding),
        };
    }
    properties.build()
}
