//! The way out: from a file, which may be anything, its leaves.
//!
//! A reader of our own, for only what a sealed file has: general readers of Parquet allocate what a page says of itself, and
//! panic at bytes that no writer makes. This one holds a row group at a time, checks its hash before it looks at it, and
//! takes no number for granted.

mod block;
mod column;
mod meta;
mod packed;
mod thrift;

use std::fs::File;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use block::{Block, Texts};
use column::{Budget, Memory, Values};
use meta::{Group, Meta};
use sha2::{Digest as _, Sha256};

use crate::ArchiveError;
use crate::columns::{COLUMNS, Column, Shape};
use crate::footer::Digest;
use crate::leaf::Row;

/// First bytes of a sealed file, and its last.
pub const MAGIC: [u8; 4] = *b"PAR1";
/// Every column, by its place.
const ALL: [usize; COLUMNS.len()] = {
    let mut all = [0; COLUMNS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = at;
        at += 1;
    }
    all
};
/// Longest footer: room for some three thousand row groups.
const FOOTER_MAX: u64 = 16 * 1024 * 1024;
/// Longest row group, packed: no more than it has unpacked, and what Parquet adds.
const GROUP_FILE_MAX: u64 = 96 * 1024 * 1024;

/// Reads the leaves of a sealed file in the order of the log.
pub struct SealedReader {
    file: File,
    path: PathBuf,
    meta: Meta,
    /// The row group that is in memory, by its number.
    group: Option<(usize, Vec<Values>)>,
    row: u64,
    leaf: Vec<u8>,
    /// Bytes of the file, before anything is made of them.
    bytes: Vec<u8>,
    memory: Memory,
}

impl SealedReader {
    /// Opens a sealed file at its first record. Reads its footer only.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let io = |cause| ArchiveError::Io {
            path: path.to_owned(),
            cause,
        };
        let foreign = |what: &str| ArchiveError::Foreign {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        // Opening a pipe would wait for somebody.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(foreign("not a regular file"));
        }
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut tail = [0; 8];
        let Some(tail_at) = size.checked_sub(8).filter(|at| *at >= 4) else {
            return Err(foreign("not a Parquet file: too short"));
        };
        let mut head = [0; 4];
        file.read_exact_at(&mut head, 0).map_err(io)?;
        file.read_exact_at(&mut tail, tail_at).map_err(io)?;
        let [a, b, c, d, magic @ ..] = tail;
        if head != MAGIC || magic != MAGIC {
            return Err(foreign("not a Parquet file, or not all of one"));
        }
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        let Some(footer_at) = tail_at.checked_sub(length).filter(|_| length <= FOOTER_MAX) else {
            return Err(foreign("its footer is longer than can be"));
        };
        let mut footer = vec![0; length as usize];
        file.read_exact_at(&mut footer, footer_at).map_err(io)?;
        let meta = meta::read(&footer, footer_at).map_err(|what| foreign(&what))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            meta,
            group: None,
            row: 0,
            leaf: Vec::new(),
            bytes: Vec::new(),
            memory: Memory::new().map_err(io)?,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its first record.
    pub fn first_seq(&self) -> u64 {
        self.meta.about.first
    }

    /// Its last record.
    pub fn last_seq(&self) -> u64 {
        self.meta.about.last()
    }

    /// How many records it holds: one at least.
    pub fn records(&self) -> u64 {
        self.meta.about.records
    }

    /// The hash of the tree up to its last record, as whoever sealed it said.
    pub fn root(&self) -> [u8; 32] {
        self.meta.about.root
    }

    /// Goes to a record. `false`: it is not in this file, and the place is the end.
    pub fn skip_to(&mut self, seq: u64) -> bool {
        let row = seq
            .checked_sub(self.first_seq())
            .filter(|row| *row < self.records());
        self.row = row.unwrap_or(self.records());
        row.is_some()
    }

    /// The next leaf and its position in the log; `None` behind the last. After an error there is nothing more.
    pub fn read(&mut self) -> Result<Option<(u64, &[u8])>, ArchiveError> {
        if self.row >= self.records() {
            return Ok(None);
        }
        let row = self.row;
        let read = self.decode(row);
        self.row = if read.is_ok() {
            row + 1
        } else {
            self.records()
        };
        let seq = self.first_seq() + row;
        read.map(|()| Some((seq, self.leaf.as_slice())))
    }

    fn decode(&mut self, row: u64) -> Result<(), ArchiveError> {
        // Groups begin at ascending rows, the first one at 0.
        let number = self
            .meta
            .groups
            .partition_point(|group| group.first_row <= row)
            - 1;
        if self
            .group
            .as_ref()
            .is_none_or(|(loaded, _)| *loaded != number)
        {
            if let Some((_, columns)) = self.group.take() {
                self.memory.take_back(columns);
            }
            self.group = Some((number, self.load(number, &ALL)?));
        }
        let first_row = self.meta.groups[number].first_row;
        if let Some((_, columns)) = &self.group {
            let seq = self.meta.about.first + row;
            self.leaf.clear();
            make(columns, (row - first_row) as usize, seq, &mut self.leaf)
                .map_err(|what| self.damaged(row, what))?;
        }
        Ok(())
    }

    /// The values of some columns for the rows from the present one to the end of its row group, which are passed over; `None`
    /// behind the last row. `columns`: their places in [`COLUMNS`]. Rows that keep their leaf whole are there as far as
    /// their columns understand them.
    pub fn read_columns(&mut self, columns: &[usize]) -> Result<Option<Block>, ArchiveError> {
        if self.row >= self.records() {
            return Ok(None);
        }
        let number = self.group_of(self.row);
        let (first_row, rows) = (
            self.meta.groups[number].first_row,
            self.meta.groups[number].rows,
        );
        let skipped = (self.row - first_row) as usize;
        let seq = self.first_seq() + self.row;
        self.row = self.records();
        let values = self.load(number, columns)?;
        self.row = first_row + rows as u64;
        Ok(Some(Block::new(seq, skipped..rows, values)))
    }

    /// Takes back a [`Block`] that has been looked at: the next one has its memory.
    pub fn take_back(&mut self, block: Block) {
        self.memory.take_back(block.into_columns());
    }

    /// Passes over the rows from the present one to the end of its row group, without reading them. `false`: there are none.
    pub fn pass_group(&mut self) -> bool {
        if self.row >= self.records() {
            return false;
        }
        let group = &self.meta.groups[self.group_of(self.row)];
        self.row = group.first_row + group.rows as u64;
        true
    }

    /// Groups begin at ascending rows, the first one at 0.
    fn group_of(&self, row: u64) -> usize {
        self.meta
            .groups
            .partition_point(|group| group.first_row <= row)
            - 1
    }

    /// Reads of a row group the columns that are wanted; of a file whose row groups have one hash each, all of it.
    fn load(&mut self, number: usize, wanted: &[usize]) -> Result<Vec<Values>, ArchiveError> {
        let group = &self.meta.groups[number];
        let row = group.first_row;
        if group.end - group.start > GROUP_FILE_MAX {
            return Err(self.damaged(row, "its row group is longer than can be".to_owned()));
        }
        let mut bytes = mem::take(&mut self.bytes);
        let is_whole = match group.digests.as_slice() {
            [digest] => {
                self.hashed(group, None, group.start..group.end, digest, &mut bytes)?;
                true
            }
            _ => false,
        };
        let mut budget = Budget::new();
        let mut columns = Vec::with_capacity(wanted.len());
        for place in wanted {
            let column = &COLUMNS[*place];
            let Some(chunk) = group.chunks.get(*place) else {
                columns.push(Values::absent(column, group.rows));
                continue;
            };
            let end = chunk.start + chunk.length;
            let bytes = if is_whole {
                &bytes[(chunk.start - group.start) as usize..(end - group.start) as usize]
            } else {
                let digest = &group.digests[*place];
                self.hashed(group, Some(column), chunk.start..end, digest, &mut bytes)?;
                &bytes
            };
            let values = column::read(
                column,
                bytes,
                chunk.compressed,
                group.rows,
                &mut budget,
                &mut self.memory,
            );
            let Some(values) = values else {
                return Err(self.damaged(row, format!("column {} cannot be read", column.name)));
            };
            columns.push(values);
        }
        self.bytes = bytes;
        Ok(columns)
    }

    /// Reads bytes of a row group that have the hash that was noted: nothing else is looked at.
    fn hashed(
        &self,
        group: &Group,
        column: Option<&Column>,
        place: Range<u64>,
        noted: &Digest,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ArchiveError> {
        let row = group.first_row;
        bytes.resize((place.end - place.start) as usize, 0);
        let read = self.file.read_exact_at(bytes, place.start);
        read.map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(row, "the file ends before it".to_owned()),
            _ => ArchiveError::Io {
                path: self.path.clone(),
                cause,
            },
        })?;
        if *noted == <[u8; 32]>::from(Sha256::digest(&*bytes)) {
            return Ok(());
        }
        let rows = group.rows;
        let what = match column {
            None => format!("the {rows} rows from there on do"),
            Some(Column { name, .. }) => {
                format!("column {name} of the {rows} rows from there on does")
            }
        };
        Err(self.damaged(
            row,
            format!("{what} not have the hash that was noted when they were sealed"),
        ))
    }

    fn damaged(&self, row: u64, what: String) -> ArchiveError {
        ArchiveError::Damaged {
            path: self.path.clone(),
            row,
            what,
        }
    }
}

/// Leaf by leaf, each in memory of its own; [`SealedReader::read`] lends the same memory again and again.
impl Iterator for SealedReader {
    type Item = Result<(u64, Vec<u8>), ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read()
            .map(|read| read.map(|(seq, leaf)| (seq, leaf.to_vec())))
            .transpose()
    }
}

/// Numbers that were packed.
#[cfg(test)]
pub(crate) fn unpacked(bytes: &[u8], width: u32, count: usize) -> Option<Vec<u32>> {
    let mut values = Vec::new();
    packed::hybrid(bytes, width, count, &mut values).map(|()| values)
}

/// Makes the leaf of a row.
fn make(columns: &[Values], at: usize, seq: u64, leaf: &mut Vec<u8>) -> Result<(), String> {
    let mut row = Row::EMPTY;
    for (column, values) in COLUMNS.iter().zip(columns) {
        match (column.shape, values) {
            (Shape::Seq, Values::Numbers(values)) => {
                if u64::try_from(values[at]) != Ok(seq) {
                    return Err(format!("it is record {}, not {seq}", values[at]));
                }
            }
            (_, Values::Numbers(values)) => {
                let value = u64::try_from(values[at]);
                row.numbers[column.tag] =
                    value.map_err(|_| format!("{} is negative", column.name))?;
            }
            (Shape::Leaf, Values::Texts(values)) => {
                if let Some(whole) = values.get(at) {
                    leaf.extend_from_slice(whole);
                    return Ok(());
                }
            }
            (Shape::Word(words), Values::Texts(values)) => {
                let word = values.get(at).and_then(|word| str::from_utf8(word).ok());
                let number = word.and_then(|word| words.number(word));
                row.numbers[column.tag] =
                    number.ok_or_else(|| format!("{} is no word of the schema", column.name))?;
            }
            (_, Values::Texts(values)) => {
                row.texts[column.tag] = values.get(at).unwrap_or_default()
            }
        }
    }
    row.encode(leaf);
    Ok(())
}
