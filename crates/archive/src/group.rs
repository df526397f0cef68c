//! Rows on their way to a row group, column by column.

use std::fs::File;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, TrackedWrite};
use prost::Message;
use ringfence_model::flow::Flow;
use sha2::{Digest as _, Sha256};

use crate::chunk::Chunk;
use crate::columns::{BY_TAG, COLUMNS, Column, Shape, TAGS, WordOf, Words};
use crate::footer::Digest;
use crate::leaf::Row;
use crate::{GROUP_BYTES, GROUP_ROWS};

/// Where a text is in the bytes of its group; nothing: an empty one.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
}

/// The rows.
pub(crate) struct Group {
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
    pub(crate) fn new() -> Self {
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

    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.seqs.len() == GROUP_ROWS
            || (!self.seqs.is_empty() && self.bytes.len() + more > GROUP_BYTES)
    }

    /// Whether the columns make the leaf. If not, it is kept as well.
    pub(crate) fn push(&mut self, seq: i64, leaf: &[u8]) -> bool {
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

    /// Writes and empties the group. Gives the hash of each column's bytes.
    pub(crate) fn write(
        &mut self,
        writer: &mut SerializedFileWriter<File>,
    ) -> Result<Vec<Digest>, ParquetError> {
        let bytes = Bytes::from(mem::take(&mut self.bytes));
        let properties = Arc::clone(writer.properties());
        let described = writer.schema_descr().columns().to_vec();
        let mut digests = Vec::with_capacity(COLUMNS.len());
        let mut group = writer.next_row_group()?;
        for (column, described) in COLUMNS.iter().zip(described) {
            let mut chunk = TrackedWrite::new(Vec::new());
            let to = Chunk::new(described, Arc::clone(&properties), &mut chunk);
            let closed = self.encode(column, &bytes, to)?;
            let chunk = Bytes::from(chunk.into_inner()?);
            digests.push(Sha256::digest(&chunk).into());
            group.append_column(&chunk, closed)?;
        }
        group.close()?;
        self.clear(bytes);
        Ok(digests)
    }

    fn encode(
        &self,
        column: &Column,
        bytes: &Bytes,
        to: Chunk<'_>,
    ) -> Result<ColumnCloseResult, ParquetError> {
        match column.shape {
            Shape::Seq => to.write::<Int64Type>(&self.seqs, None),
            Shape::Time | Shape::Number => {
                let numbers = &self.numbers[column.tag];
                let (values, levels) = present(column, numbers, &0, |number| {
                    (*number != 0).then_some(*number)
                });
                to.write::<Int64Type>(&values, levels.as_deref())
            }
            Shape::Text => {
                let text = |span: &Span| (span.length > 0).then(|| slice(bytes, *span));
                let (values, levels) = present(
                    column,
                    &self.texts[column.tag],
                    &ByteArray::from(Bytes::new()),
                    text,
                );
                to.write::<ByteArrayType>(&values, levels.as_deref())
            }
            Shape::Word(words) => {
                let values = in_words(words, &self.words[column.tag]);
                to.write::<ByteArrayType>(&values, None)
            }
            Shape::Leaf => {
                let mut levels = vec![0; self.seqs.len()];
                self.whole.iter().for_each(|(row, _)| levels[*row] = 1);
                let values: Vec<ByteArray> = self
                    .whole
                    .iter()
                    .map(|(_, span)| slice(bytes, *span))
                    .collect();
                to.write::<ByteArrayType>(&values, Some(&levels))
            }
        }
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
