//! Header blocks to fields.

use super::super::limits::TABLE_MAX;
use super::super::list::HeaderList;
use super::huffman;
use super::table::Table;

/// Why a block cannot be decoded. Both sides disagree about the table from here on: the connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unsound {
    /// The block ends within a field.
    #[error("header block cut short")]
    Truncated,
    /// Neither table has such an entry.
    #[error("header block with an index that stands for nothing")]
    Index,
    /// A number of more than 28 bits.
    #[error("header block with a number too large")]
    Number,
    /// Padding that is long, or not all ones, or a code that stands for nothing.
    #[error("header string with unsound Huffman code")]
    Huffman,
    /// The code of the end within a string.
    #[error("header string with the end symbol of the Huffman code")]
    EndSymbol,
    /// Larger than was offered, behind a field, or a third one.
    #[error("header block with an unsound table size")]
    TableSize,
}

/// Decodes the blocks of one side of a connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: Table::new(TABLE_MAX),
        }
    }
}

/// Table sizes that may stand at the start of a block: the smallest since the block before, and the last
/// (RFC 7541, 4.2).
const SIZES_MAX: usize = 2;

impl Decoder {
    /// Decodes one whole block behind what is in `list`. What the list has no room for is decoded for the table alone.
    pub fn decode(&mut self, mut block: &[u8], list: &mut HeaderList) -> Result<(), Unsound> {
        let mut sizes = 0;
        let mut begun = false;
        while let Some(&first) = block.first() {
            match first {
                // One byte can name four kilobytes: what is not kept is not looked at either.
                0x81..0xff if list.excess().is_some() => {
                    let known = self.table.len();
                    let is_one = |byte: &u8| (0x81..0xff).contains(byte);
                    let run = block.iter().position(|byte| !is_one(byte));
                    let (run, rest) = block.split_at(run.unwrap_or(block.len()));
                    if run.iter().any(|byte| usize::from(byte & 0x7f) > known) {
                        return Err(Unsound::Index);
                    }
                    block = rest;
                }
                0x80.. => {
                    let index = number(&mut block, 7)?;
                    let (name, value) = self.table.get(index).ok_or(Unsound::Index)?;
                    if list.excess().is_none() {
                        list.stage(name);
                        let name = list.staged();
                        list.stage(value);
                        list.commit(name, false);
                    }
                }
                0x40..0x80 => {
                    let name = self.literal(&mut block, 6, list)?;
                    self.table.insert(list.staged_bytes(), name);
                    list.commit(name, false);
                }
                0x20..0x40 => {
                    let size = number(&mut block, 5)?;
                    sizes += 1;
                    if begun || sizes > SIZES_MAX || size > TABLE_MAX {
                        return Err(Unsound::TableSize);
                    }
                    self.table.resize(size);
                    continue;
                }
                _ => {
                    let name = self.literal(&mut block, 4, list)?;
                    list.commit(name, first & 0x10 != 0);
                }
            }
            begun = true;
        }
        Ok(())
    }

    /// Stages a literal field whose name may be an index; gives the length of its name.
    fn literal(
        &self,
        block: &mut &[u8],
        prefix: u32,
        list: &mut HeaderList,
    ) -> Result<usize, Unsound> {
        match number(block, prefix)? {
            0 => string(block, list)?,
            index => {
                let (name, _) = self.table.get(index).ok_or(Unsound::Index)?;
                list.stage(name);
            }
        }
        let name = list.staged();
        string(block, list)?;
        Ok(name)
    }
}

/// An integer with a prefix of `prefix` bits (RFC 7541, 5.1), of at most four bytes behind it.
fn number(block: &mut &[u8], prefix: u32) -> Result<usize, Unsound> {
    let (&first, mut rest) = block.split_first().ok_or(Unsound::Truncated)?;
    let mask = (1u32 << prefix) - 1;
    let mut value = u32::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().ok_or(Unsound::Truncated)?;
            rest = after;
            // Below 2^28 in all: nothing in a block is as large, and nothing overflows.
            value += u32::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift == 28 {
                return Err(Unsound::Number);
            }
        }
    }
    *block = rest;
    Ok(value as usize)
}

/// Stages a string (RFC 7541, 5.2).
fn string(block: &mut &[u8], list: &mut HeaderList) -> Result<(), Unsound> {
    let coded = block.first().ok_or(Unsound::Truncated)? & 0x80 != 0;
    let length = number(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(Unsound::Truncated)?;
    *block = rest;
    if coded {
        huffman::decode(bytes, list.staging())
    } else {
        list.stage(bytes);
        Ok(())
    }
}
