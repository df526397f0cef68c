//! Rows on their way to a row group, column by column.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, TrackedWrite};
use prost::Message;
use ringfence_model::flow::Flow;
use sha2::{Digest as _, Sha256};
use zstd::bulk::Compressor;

use crate::chunk::Chunk;
use crate::columns::{BY_TAG, COLUMNS, Column, Shape, TAGS, WordOf};
use crate::dictionary::Dictionary;
use crate::footer::Digest;
use crate::leaf::Row;
use crate::{GROUP_BYTES, GROUP_ROWS, ZSTD_LEVEL};

/// The rows. Each is taken apart as it comes, while its leaf is in the cache: a text that was there before costs a number.
pub(crate) struct Group {
    seqs: Vec<i64>,
    numbers: [Vec<i64>; TAGS],
    /// Of words as well.
    texts: [Dictionary; TAGS],
    /// Rows that keep their leaf, and it.
    whole: Vec<(usize, ByteArray)>,
    /// Of all leaves, and of those that say things in an odd way, also of how the log would have said them.
    bytes: usize,
    scratch: Vec<u8>,
    zstd: Compressor<'static>,
}

impl Group {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            seqs: Vec::new(),
            numbers: [const { Vec::new() }; TAGS],
            texts: std::array::from_fn(|_| Dictionary::new()),
            whole: Vec::new(),
            bytes: 0,
            scratch: Vec::new(),
            zstd: Compressor::new(ZSTD_LEVEL)?,
        })
    }

    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.seqs.len() == GROUP_ROWS || (!self.seqs.is_empty() && self.bytes + more > GROUP_BYTES)
    }

    /// Whether the columns make the leaf. If not, it is kept as well.
    pub(crate) fn push(&mut self, seq: i64, leaf: &[u8]) -> bool {
        self.bytes += leaf.len();
        self.seqs.push(seq);
        if let Some(mut row) = Row::parse(leaf) {
            row.clamp();
            self.scratch.clear();
            row.encode(&mut self.scratch);
            let exact = self.scratch == leaf;
            if !exact {
                self.keep(leaf);
            }
            self.push_row(&row);
            return exact;
        }
        self.keep(leaf);
        // What can be understood of it can be asked for all the same.
        let plain = Flow::decode(leaf)
            .map(|flow| flow.encode_to_vec())
            .unwrap_or_default();
        self.bytes += plain.len();
        let mut row = Row::parse(&plain).unwrap_or(Row::EMPTY);
        row.clamp();
        self.push_row(&row);
        false
    }

    fn keep(&mut self, leaf: &[u8]) {
        let leaf = ByteArray::from(leaf.to_vec());
        self.whole.push((self.seqs.len() - 1, leaf));
    }

    fn push_row(&mut self, row: &Row<'_>) {
        for (tag, column) in BY_TAG.iter().enumerate() {
            let Some(column) = column else { continue };
            match column.shape {
                Shape::Word(words) => match words.word(row.numbers[tag]) {
                    WordOf::Known(word) => self.texts[tag].push(word.as_bytes()),
                    WordOf::Digits(digits) => self.texts[tag].push(digits.as_bytes()),
                },
                Shape::Text if row.texts[tag].is_empty() && !column.always => {
                    self.texts[tag].push_nothing();
                }
                Shape::Text => self.texts[tag].push(row.texts[tag]),
                _ => self.numbers[tag].push(row.numbers[tag].cast_signed()),
            }
        }
    }

    /// Writes and empties the group. Gives the hash of each column's bytes.
    pub(crate) fn write(
        &mut self,
        writer: &mut SerializedFileWriter<File>,
    ) -> Result<Vec<Digest>, ParquetError> {
        let properties = Arc::clone(writer.properties());
        let described = writer.schema_descr().columns().to_vec();
        let mut digests = Vec::with_capacity(COLUMNS.len());
        let mut group = writer.next_row_group()?;
        for (column, described) in COLUMNS.iter().zip(described) {
            let mut chunk = TrackedWrite::new(Vec::new());
            let to = Chunk::new(described, Arc::clone(&properties), &mut chunk);
            let closed = self.encode(column, to)?;
            let chunk = Bytes::from(chunk.into_inner()?);
            digests.push(Sha256::digest(&chunk).into());
            group.append_column(&chunk, closed)?;
        }
        group.close()?;
        self.clear();
        Ok(digests)
    }

    fn encode(
        &mut self,
        column: &Column,
        to: Chunk<'_>,
    ) -> Result<ColumnCloseResult, ParquetError> {
        match column.shape {
            Shape::Seq => to.write::<Int64Type>(&self.seqs, None),
            Shape::Time | Shape::Number => {
                let numbers = &self.numbers[column.tag];
                if column.always {
                    return to.write::<Int64Type>(numbers, None);
                }
                let values: Vec<i64> = numbers
                    .iter()
                    .copied()
                    .filter(|value| *value != 0)
                    .collect();
                let levels: Vec<i16> = numbers.iter().map(|value| i16::from(*value != 0)).collect();
                to.write::<Int64Type>(&values, Some(&levels))
            }
            Shape::Text | Shape::Word(_) => {
                to.write_texts(&self.texts[column.tag], column.always, &mut self.zstd)
            }
            Shape::Leaf => {
                let mut levels = vec![0; self.seqs.len()];
                self.whole.iter().for_each(|(row, _)| levels[*row] = 1);
                let leaves = self.whole.iter();
                let values: Vec<ByteArray> = leaves.map(|(_, leaf)| leaf.clone()).collect();
                to.write::<ByteArrayType>(&values, Some(&levels))
            }
        }
    }

    fn clear(&mut self) {
        self.seqs.clear();
        self.numbers.iter_mut().for_each(Vec::clear);
        self.texts.iter_mut().for_each(Dictionary::clear);
        self.whole.clear();
        self.bytes = 0;
    }
}
