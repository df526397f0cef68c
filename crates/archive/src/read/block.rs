//! Values by column, for who counts and does not need leaves.

use std::ops::Range;

use super::column::Values;

/// Rows that follow each other, of one row group; of each the columns that were asked for.
pub struct Block {
    first_seq: u64,
    rows: Range<usize>,
    columns: Vec<Values>,
}

impl Block {
    pub(super) fn new(first_seq: u64, rows: Range<usize>, columns: Vec<Values>) -> Self {
        Self {
            first_seq,
            rows,
            columns,
        }
    }

    pub(super) fn into_columns(self) -> Vec<Values> {
        self.columns
    }

    /// Sequence number of its first row.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Its rows, as [`Texts`] and numbers are asked for them; not always from 0.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The `at`-th column that was asked for, if it is one of numbers: a value for each row, 0 where there is none.
    pub fn numbers(&self, at: usize) -> Option<&[i64]> {
        match self.columns.get(at)? {
            Values::Numbers(numbers) => Some(numbers),
            Values::Texts(_) => None,
        }
    }

    /// The `at`-th column that was asked for, if it is one of texts.
    pub fn texts(&self, at: usize) -> Option<&Texts> {
        match self.columns.get(at)? {
            Values::Texts(texts) => Some(texts),
            Values::Numbers(_) => None,
        }
    }
}

/// Texts of a column.
#[derive(Default)]
pub struct Texts {
    pub(super) bytes: Vec<u8>,
    /// Where each different, or each, value ends in `bytes`; it begins where the one before it ends.
    pub(super) ends: Vec<u32>,
    /// The value of each row; `NONE`: it has none.
    pub(super) rows: Vec<u32>,
}

pub(super) const NONE: u32 = u32::MAX;

impl Texts {
    /// The value of a row, if it has one.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        self.of_code(self.code(row)?)
    }

    /// A number for the value of a row, if it has one. Rows with the same number have the same value; most columns give equal values
    /// the same number, so that who counts looks at few texts.
    pub fn code(&self, row: usize) -> Option<u32> {
        self.rows.get(row).copied().filter(|code| *code != NONE)
    }

    /// How many values have a number: they are those below.
    pub fn codes(&self) -> usize {
        self.ends.len()
    }

    /// The value with a number.
    pub fn of_code(&self, code: u32) -> Option<&[u8]> {
        let end = *self.ends.get(code as usize)?;
        let start = match code {
            0 => 0,
            _ => *self.ends.get(code as usize - 1)?,
        };
        self.bytes.get(start as usize..end as usize)
    }

    /// Empties it, and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.rows.clear();
    }

    pub(super) fn end(&mut self) -> Option<()> {
        self.ends.push(u32::try_from(self.bytes.len()).ok()?);
        Some(())
    }
}
