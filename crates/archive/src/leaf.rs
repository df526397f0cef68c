//! A leaf and the values of its fields: one way and back.
//!
//! The encoding that the log writes is one of many that mean the same (protobuf leaves order, repetition and the length of
//! numbers open). Only that one is taken apart here; every other is kept whole by whoever asks.

use ringfence_model::FLOW_SCHEMA;

use crate::columns::{BY_TAG, Column, TAGS};

/// The fields of a record, by their number in `flow.proto`; 0 and empty where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) numbers: [u64; TAGS],
    pub(crate) texts: [&'a [u8]; TAGS],
}

/// Field number of the schema version, which has no column: a row that makes its leaf has the version of this code.
const SCHEMA: usize = 1;

const VARINT: u64 = 0;
const LENGTH: u64 = 2;

fn is_number(column: &Column) -> bool {
    column.is_number() || matches!(column.shape, crate::Shape::Word(_))
}

impl<'a> Row<'a> {
    pub(crate) const EMPTY: Self = Self {
        numbers: [0; TAGS],
        texts: [&[]; TAGS],
    };

    /// Takes a leaf apart if it is written as the log writes; the schema may be another.
    pub(crate) fn parse(leaf: &'a [u8]) -> Option<Self> {
        let mut row = Self::EMPTY;
        let mut rest = leaf;
        let mut last = 0;
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let tag = usize::try_from(key >> 3).ok()?;
            if tag <= last || tag >= TAGS {
                return None;
            }
            last = tag;
            let number = tag == SCHEMA || is_number(BY_TAG[tag]?);
            match key & 7 {
                VARINT if number => row.numbers[tag] = varint(&mut rest)?,
                LENGTH if !number => {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    let (text, behind) = rest.split_at_checked(length)?;
                    str::from_utf8(text).ok()?;
                    row.texts[tag] = text;
                    rest = behind;
                }
                _ => return None,
            }
        }
        Some(row)
    }

    /// Appends the leaf that these values make.
    pub(crate) fn encode(&self, leaf: &mut Vec<u8>) {
        put_number(leaf, SCHEMA, u64::from(FLOW_SCHEMA));
        for (tag, column) in BY_TAG.iter().enumerate() {
            let Some(column) = column else { continue };
            if is_number(column) {
                if self.numbers[tag] != 0 {
                    put_number(leaf, tag, self.numbers[tag]);
                }
            } else if !self.texts[tag].is_empty() {
                put_varint(leaf, (tag as u64) << 3 | LENGTH);
                put_varint(leaf, self.texts[tag].len() as u64);
                leaf.extend_from_slice(self.texts[tag]);
            }
        }
    }

    /// Makes the values such as columns hold, whose numbers are signed.
    pub(crate) fn clamp(&mut self) {
        for (tag, column) in BY_TAG.iter().enumerate() {
            if column.is_some_and(Column::is_number) {
                self.numbers[tag] = self.numbers[tag].min(i64::MAX.cast_unsigned());
            }
        }
    }
}

fn put_number(leaf: &mut Vec<u8>, tag: usize, value: u64) {
    put_varint(leaf, (tag as u64) << 3 | VARINT);
    put_varint(leaf, value);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in rest.iter().enumerate().take(10) {
        if at == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}
