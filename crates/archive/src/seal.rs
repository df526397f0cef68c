//! The way in: leaves to columns, a row group at a time.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::ColumnPath;
use prost::Message;
use ringfence_model::flow::Flow;
use sha2::{Digest as _, Sha256};

use crate::columns::{BY_TAG, COLUMNS, Column, Shape, TAGS, WordOf, Words, schema};
use crate::file::Unfinished;
use crate::footer::About;
use crate::leaf::Row;
use crate::{ArchiveError, LEAF_MAX, SEALED_FORM};

/// Rows of a row group, at most. Readers pass over a whole one by its time and sequence numbers.
pub const GROUP_ROWS: usize = 100_000;
/// Bytes of leaves that a row group is made of, at most, and so what sealing holds in memory: some 25 MiB of common traffic.
pub const GROUP_BYTES: usize = 32 * 1024 * 1024;
/// Rows of a page, at most: what a reader has to decode for one row.
const PAGE_ROWS: usize = 20_000;
/// Measured: level 3 takes 0.3 % less room than level 1, level 12 takes 3 % less.
pub const ZSTD_LEVEL: i32 = 1;
/// Beyond this the values of a column are not looked up any more but told one after the other.
const DICTIONARY_BYTES: usize = 1024 * 1024;

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
    writer: SerializedFileWriter<Hashing>,
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
        let sink = Hashing {
            file: unfinished.file().try_clone().map_err(io)?,
            hash: Sha256::new(),
        };
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
            group: Group::new(),
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

    /// Writes the rows that have come as a row group, and notes the hash of its bytes.
    fn flush(&mut self) -> Result<(), ArchiveError> {
        let digest = self
            .group
            .write(&mut self.writer)
            .map_err(|cause| write_error(&self.path, cause))?;
        self.about.digests.push(digest);
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

/// The file, with the hash of what has gone into it since it was last asked.
struct Hashing {
    file: File,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Where a text is in the bytes of its group; nothing: an empty one.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
}

/// Rows on their way to a row group, column by column.
struct Group {
    /// Leaves, one after the other, and of those that say things in an odd way, also how the log would have said them.
    bytes: Vec<u8>,
    seqs: Vec<i64>,
    numbers: [Vec<i64>; TAGS],
    words: [Vec<u64>; TAGS],
    texts: [Vec<Span>; TAGS],
    /// Rows that keep their leaf, and it.
    whole: Vec<(usize, Span)>,
    scratch: Vec<u8>,
}

impl Group {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            seqs: Vec::new(),
            numbers: [const { Vec::new() }; TAGS],
            words: [const { Vec::new() }; TAGS],
            texts: [const { Vec::new() }; TAGS],
            whole: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn is_full(&self, more: usize) -> bool {
        self.seqs.len() == GROUP_ROWS
            || (!self.seqs.is_empty() && self.bytes.len() + more > GROUP_BYTES)
    }

    /// Whether the columns make the leaf. If not, it is kept as well.
    fn push(&mut self, seq: i64, leaf: &[u8]) -> bool {
        let start = self.add(leaf);
        self.seqs.push(seq);
        if let Some(row) = Row::parse(leaf) {
            let row = row.clamped();
            self.scratch.clear();
            row.encode(&mut self.scratch);
            let exact = self.scratch == leaf;
            if !exact {
                self.keep(start, leaf.len());
            }
            self.push_row(&row, leaf, start);
            return exact;
        }
        self.keep(start, leaf.len());
        // What can be understood of it can be asked for all the same.
        let plain = Flow::decode(leaf)
            .map(|flow| flow.encode_to_vec())
            .unwrap_or_default();
        let start = self.add(&plain);
        let row = Row::parse(&plain).unwrap_or(Row::EMPTY).clamped();
        self.push_row(&row, &plain, start);
        false
    }

    fn add(&mut self, bytes: &[u8]) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start
    }

    fn keep(&mut self, start: usize, length: usize) {
        self.whole.push((self.seqs.len() - 1, span(start, length)));
    }

    /// `row` borrows from `leaf`, which lies at `start`.
    fn push_row(&mut self, row: &Row<'_>, leaf: &[u8], start: usize) {
        for (tag, column) in BY_TAG.iter().enumerate() {
            let Some(column) = column else { continue };
            match column.shape {
                Shape::Word(_) => self.words[tag].push(row.numbers[tag]),
                Shape::Text => {
                    let text = row.texts[tag];
                    let offset = match text.len() {
                        0 => 0,
                        _ => text.as_ptr().addr() - leaf.as_ptr().addr(),
                    };
                    self.texts[tag].push(span(start + offset, text.len()));
                }
                _ => self.numbers[tag].push(row.numbers[tag].cast_signed()),
            }
        }
    }

    /// Writes and empties the group.
    fn write(
        &mut self,
        writer: &mut SerializedFileWriter<Hashing>,
    ) -> Result<[u8; 32], ParquetError> {
        // The magic number at the beginning of the file belongs to no group.
        writer.flush()?;
        writer.inner_mut().hash.reset();
        let bytes = Bytes::from(mem::take(&mut self.bytes));
        let mut group = writer.next_row_group()?;
        for column in COLUMNS {
            let Some(mut to) = group.next_column()? else {
                return Err(ParquetError::General(format!(
                    "{} has no place",
                    column.name
                )));
            };
            self.write_column(column, &bytes, &mut to)?;
            to.close()?;
        }
        group.close()?;
        self.clear(bytes);
        writer.flush()?;
        Ok(writer.inner_mut().hash.finalize_reset().into())
    }

    fn write_column(
        &self,
        column: &Column,
        bytes: &Bytes,
        to: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        let rows = self.seqs.len();
        match column.shape {
            Shape::Seq => {
                to.typed::<Int64Type>()
                    .write_batch(&self.seqs, None, None)?;
            }
            Shape::Time | Shape::Number => {
                let numbers = &self.numbers[column.tag];
                let (values, levels) = present(column, numbers, &0, |number| {
                    (*number != 0).then_some(*number)
                });
                to.typed::<Int64Type>()
                    .write_batch(&values, levels.as_deref(), None)?;
            }
            Shape::Text => {
                let text = |span: &Span| (span.length > 0).then(|| slice(bytes, *span));
                let (values, levels) = present(
                    column,
                    &self.texts[column.tag],
                    &ByteArray::from(Bytes::new()),
                    text,
                );
                to.typed::<ByteArrayType>()
                    .write_batch(&values, levels.as_deref(), None)?;
            }
            Shape::Word(words) => {
                let values = in_words(words, &self.words[column.tag]);
                to.typed::<ByteArrayType>()
                    .write_batch(&values, None, None)?;
            }
            Shape::Leaf => {
                let mut levels = vec![0; rows];
                self.whole.iter().for_each(|(row, _)| levels[*row] = 1);
                let values: Vec<ByteArray> = self
                    .whole
                    .iter()
                    .map(|(_, span)| slice(bytes, *span))
                    .collect();
                to.typed::<ByteArrayType>()
                    .write_batch(&values, Some(&levels), None)?;
            }
        }
        Ok(())
    }

    fn clear(&mut self, bytes: Bytes) {
        self.seqs.clear();
        self.numbers.iter_mut().for_each(Vec::clear);
        self.words.iter_mut().for_each(Vec::clear);
        self.texts.iter_mut().for_each(Vec::clear);
        self.whole.clear();
        // The same memory again, unless the writer still holds a part of it.
        self.bytes = bytes.try_into_mut().map(Vec::from).unwrap_or_default();
        self.bytes.clear();
    }
}

/// The values that are there, and for a column where some are not, which rows have one.
fn present<T, V: Clone>(
    column: &Column,
    all: &[T],
    nothing: &V,
    value: impl Fn(&T) -> Option<V>,
) -> (Vec<V>, Option<Vec<i16>>) {
    if column.always {
        let values = all
            .iter()
            .map(|one| value(one).unwrap_or_else(|| nothing.clone()));
        return (values.collect(), None);
    }
    let mut values = Vec::with_capacity(all.len());
    let mut levels = Vec::with_capacity(all.len());
    for one in all {
        let value = value(one);
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    (values, Some(levels))
}

fn in_words(words: Words, numbers: &[u64]) -> Vec<ByteArray> {
    let mut last: Option<(u64, ByteArray)> = None;
    let mut values = Vec::with_capacity(numbers.len());
    for number in numbers {
        let known = last.take().filter(|(of, _)| of == number);
        let value = known.map_or_else(
            || match words.word(*number) {
                WordOf::Known(word) => ByteArray::from(Bytes::from_static(word.as_bytes())),
                WordOf::Digits(digits) => ByteArray::from(digits.into_bytes()),
            },
            |(_, value)| value,
        );
        values.push(value.clone());
        last = Some((*number, value));
    }
    values
}

/// Within [`GROUP_BYTES`] and two leaves, so four bytes are enough.
fn span(start: usize, length: usize) -> Span {
    Span {
        start: start as u32,
        length: length as u32,
    }
}

fn slice(bytes: &Bytes, span: Span) -> ByteArray {
    let start = span.start as usize;
    ByteArray::from(bytes.slice(start..start + span.length as usize))
}
