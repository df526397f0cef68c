//! A column of a row group: pages to values.

use std::io;

use zstd::bulk::Decompressor;

use super::block::{NONE, Texts};
use super::packed::{deltas, hybrid};
use super::thrift::{Kind, Thrift};
use crate::LEAF_MAX;
use crate::columns::{COLUMNS, Column};

/// Longest pages of a column together, unpacked: all that the rows of a group say, twice (see `seal.rs`), with their lengths, and a little.
const UNPACKED_MAX: usize = 80 * 1024 * 1024;

/// Bytes of texts that are kept for the next column: several times what common traffic has.
const KEPT: usize = 4 * 1024 * 1024;

/// The values of a column, row by row.
pub(super) enum Values {
    Numbers(Vec<i64>),
    Texts(Texts),
}

impl Values {
    /// Of a column that the file does not have, because its form is older.
    pub(super) fn absent(column: &Column, rows: usize) -> Self {
        if column.is_number() {
            return Self::Numbers(vec![0; rows]);
        }
        Self::Texts(Texts {
            rows: vec![NONE; rows],
            ..Texts::default()
        })
    }
}

/// What a column may still take of memory.
pub(super) struct Budget(usize);

impl Budget {
    /// For the texts of all columns of a row group.
    pub(super) fn new() -> Self {
        Self(UNPACKED_MAX)
    }

    fn take(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// Memory for what is read, which is used again: a row group is as large as the one before it, and the system takes its time over
/// giving out the same pages each time.
pub(super) struct Memory {
    zstd: Decompressor<'static>,
    page: Vec<u8>,
    levels: Vec<u32>,
    indices: Vec<u32>,
    numbers: Vec<Vec<i64>>,
    texts: Vec<Texts>,
}

impl Memory {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            zstd: Decompressor::new()?,
            page: Vec::new(),
            levels: Vec::new(),
            indices: Vec::new(),
            numbers: Vec::new(),
            texts: Vec::new(),
        })
    }

    /// Takes back what has been looked at, but what is out of the common.
    pub(super) fn take_back(&mut self, columns: Vec<Values>) {
        for column in columns {
            match column {
                Values::Numbers(mut numbers) if self.numbers.len() < COLUMNS.len() => {
                    numbers.clear();
                    self.numbers.push(numbers);
                }
                Values::Texts(mut texts)
                    if self.texts.len() < COLUMNS.len() && texts.bytes.capacity() <= KEPT =>
                {
                    texts.clear();
                    self.texts.push(texts);
                }
                _ => {}
            }
        }
    }
}

/// Unpacks `packed` to `length` bytes, no less and no more.
fn unpack<'a>(
    zstd: &mut Decompressor<'_>,
    page: &'a mut Vec<u8>,
    packed: &[u8],
    length: usize,
) -> Option<&'a [u8]> {
    page.clear();
    page.reserve(length);
    let unpacked = zstd.decompress_to_buffer(packed, page);
    (unpacked.ok()? == length).then_some(page)
}

/// Reads the pages of a column. `None`: they are not what a sealed file has.
pub(super) fn read(
    column: &Column,
    chunk: &[u8],
    compressed: bool,
    rows: usize,
    budget: &mut Budget,
    memory: &mut Memory,
) -> Option<Values> {
    let mut pages = Pages {
        rest: chunk,
        compressed,
        left: UNPACKED_MAX,
    };
    let (mut numbers, mut texts) = (Vec::new(), Texts::default());
    if column.is_number() {
        numbers = memory.numbers.pop().unwrap_or_default();
        numbers.reserve_exact(rows);
    } else {
        texts = memory.texts.pop().unwrap_or_default();
        texts.rows.reserve_exact(rows);
    }
    let mut decoder = Decoder {
        column,
        rows,
        numbers,
        number_dictionary: Vec::new(),
        texts,
        dictionary: None,
        levels: &mut memory.levels,
        indices: &mut memory.indices,
        budget,
    };
    while !pages.rest.is_empty() {
        let (page, levels, values) = pages.next(&mut memory.zstd, &mut memory.page)?;
        decoder.page(&page, levels, values)?;
    }
    decoder.finish()
}

/// Encodings, as Parquet numbers them.
const PLAIN: i64 = 0;
const DELTA_BINARY_PACKED: i64 = 5;
const DELTA_BYTE_ARRAY: i64 = 7;
const RLE_DICTIONARY: i64 = 8;
/// Kinds of pages.
const DICTIONARY_PAGE: i64 = 2;
const DATA_PAGE_V2: i64 = 3;

#[derive(Default)]
struct Page {
    kind: i64,
    unpacked: usize,
    packed: usize,
    values: usize,
    nulls: usize,
    encoding: i64,
    levels: usize,
    is_compressed: bool,
}

impl Page {
    fn read(thrift: &mut Thrift<'_>) -> Option<Self> {
        let mut page = Self {
            is_compressed: true,
            ..Self::default()
        };
        let mut inner = None;
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Kind::Number) => page.kind = thrift.number()?,
                (2, Kind::Number) => page.unpacked = size(thrift)?,
                (3, Kind::Number) => page.packed = size(thrift)?,
                (7 | 8, Kind::Struct) => {
                    if inner.replace(id).is_some() {
                        return None;
                    }
                    page.read_inner(thrift, id == 8)?;
                }
                _ => return Some(false),
            }
            Some(true)
        })?;
        let right = matches!(
            (page.kind, inner),
            (DICTIONARY_PAGE, Some(7)) | (DATA_PAGE_V2, Some(8))
        );
        right.then_some(page)
    }

    fn read_inner(&mut self, thrift: &mut Thrift<'_>, is_data: bool) -> Option<()> {
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Kind::Number) => self.values = size(thrift)?,
                (2, Kind::Number) if !is_data => self.encoding = thrift.number()?,
                (2, Kind::Number) => self.nulls = size(thrift)?,
                (4, Kind::Number) if is_data => self.encoding = thrift.number()?,
                (5, Kind::Number) if is_data => self.levels = size(thrift)?,
                // Repetition levels: nothing repeats here.
                (6, Kind::Number) if is_data && size(thrift)? != 0 => return None,
                (6, Kind::Number) if is_data => {}
                (7, Kind::True) if is_data => self.is_compressed = true,
                (7, Kind::False) if is_data => self.is_compressed = false,
                _ => return Some(false),
            }
            Some(true)
        })
    }
}

fn size(thrift: &mut Thrift<'_>) -> Option<usize> {
    usize::try_from(thrift.number()?).ok()
}

/// The pages of a column, one after the other.
struct Pages<'a> {
    rest: &'a [u8],
    compressed: bool,
    /// What all that follow may have unpacked.
    left: usize,
}

impl<'a> Pages<'a> {
    /// The next page: its header, its levels and its values.
    fn next<'u>(
        &mut self,
        zstd: &mut Decompressor<'_>,
        unpacked: &'u mut Vec<u8>,
    ) -> Option<(Page, &'a [u8], &'u [u8])>
    where
        'a: 'u,
    {
        let mut thrift = Thrift::new(self.rest);
        let page = Page::read(&mut thrift)?;
        let (packed, behind) = thrift.rest().split_at_checked(page.packed)?;
        self.rest = behind;
        self.left = self.left.checked_sub(page.unpacked)?;
        // Levels are never compressed.
        let (levels, packed) = packed.split_at_checked(page.levels)?;
        let length = page.unpacked.checked_sub(levels.len())?;
        let values = if self.compressed && page.is_compressed && !packed.is_empty() {
            unpack(zstd, unpacked, packed, length)?
        } else if packed.len() == length {
            packed
        } else {
            return None;
        };
        Some((page, levels, values))
    }
}

struct Decoder<'a> {
    column: &'a Column,
    rows: usize,
    numbers: Vec<i64>,
    number_dictionary: Vec<i64>,
    texts: Texts,
    /// How many values the dictionary has, once there was one.
    dictionary: Option<usize>,
    /// Of the page that is read: which rows have a value, and which value of the dictionary each has.
    levels: &'a mut Vec<u32>,
    indices: &'a mut Vec<u32>,
    budget: &'a mut Budget,
}

impl Decoder<'_> {
    fn done(&self) -> usize {
        if self.column.is_number() {
            self.numbers.len()
        } else {
            self.texts.rows.len()
        }
    }

    fn page(&mut self, page: &Page, levels: &[u8], values: &[u8]) -> Option<()> {
        if page.kind == DICTIONARY_PAGE {
            return self.dictionary_page(page, values);
        }
        if page.values > self.rows - self.done() || page.nulls > page.values {
            return None;
        }
        let here = page.values - page.nulls;
        self.levels.clear();
        if self.column.always {
            if page.nulls != 0 || page.levels != 0 {
                return None;
            }
        } else {
            hybrid(levels, 1, page.values, self.levels)?;
            if self.levels.iter().filter(|level| **level == 1).count() != here {
                return None;
            }
        }
        if self.column.is_number() {
            let start = self.numbers.len();
            self.number_values(page.encoding, values, here)?;
            spread(self.levels, start, &mut self.numbers, 0);
        } else {
            let start = self.texts.rows.len();
            self.text_values(page.encoding, values, here)?;
            spread(self.levels, start, &mut self.texts.rows, NONE);
        }
        Some(())
    }

    fn dictionary_page(&mut self, page: &Page, bytes: &[u8]) -> Option<()> {
        if self.dictionary.is_some() || self.done() > 0 || page.encoding != PLAIN {
            return None;
        }
        if page.values > self.rows {
            return None;
        }
        self.dictionary = Some(page.values);
        if self.column.is_number() {
            self.number_dictionary = plain_numbers(bytes, page.values)?;
        } else {
            self.plain_texts(bytes, page.values)?;
        }
        Some(())
    }

    /// Reads which values of the dictionary there are, behind those in `indices`.
    fn indices(
        dictionary: Option<usize>,
        bytes: &[u8],
        count: usize,
        indices: &mut Vec<u32>,
    ) -> Option<()> {
        let known = dictionary?;
        if count == 0 {
            return Some(());
        }
        let (width, packed) = bytes.split_first()?;
        let start = indices.len();
        hybrid(packed, u32::from(*width), count, indices)?;
        let highest = indices[start..]
            .iter()
            .fold(0, |most, index| most.max(*index));
        ((highest as usize) < known).then_some(())
    }

    fn number_values(&mut self, encoding: i64, mut bytes: &[u8], count: usize) -> Option<()> {
        match encoding {
            PLAIN => self.numbers.extend(plain_numbers(bytes, count)?),
            RLE_DICTIONARY => {
                self.indices.clear();
                Self::indices(self.dictionary, bytes, count, self.indices)?;
                let value = |index: &u32| self.number_dictionary[*index as usize];
                self.numbers.extend(self.indices.iter().map(value));
            }
            DELTA_BINARY_PACKED => {
                deltas(&mut bytes, count, &mut self.numbers)?;
                return bytes.is_empty().then_some(());
            }
            _ => return None,
        }
        Some(())
    }

    /// Which of the texts that are known, or become so, are the values.
    fn text_values(&mut self, encoding: i64, bytes: &[u8], count: usize) -> Option<()> {
        let first = u32::try_from(self.texts.ends.len()).ok()?;
        match encoding {
            RLE_DICTIONARY => {
                return Self::indices(self.dictionary, bytes, count, &mut self.texts.rows);
            }
            PLAIN => self.plain_texts(bytes, count)?,
            DELTA_BYTE_ARRAY => self.front_coded(bytes, count)?,
            _ => return None,
        }
        self.texts.rows.extend((first..).take(count));
        Some(())
    }

    fn plain_texts(&mut self, mut bytes: &[u8], count: usize) -> Option<()> {
        for _ in 0..count {
            let (length, behind) = bytes.split_first_chunk()?;
            let (value, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            self.budget.take(value.len())?;
            self.texts.bytes.extend_from_slice(value);
            self.texts.end()?;
            bytes = behind;
        }
        bytes.is_empty().then_some(())
    }

    /// Each value as what it shares with the one before it, and the rest.
    fn front_coded(&mut self, mut bytes: &[u8], count: usize) -> Option<()> {
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        deltas(&mut bytes, count, &mut shared)?;
        deltas(&mut bytes, count, &mut own)?;
        let mut last = (self.texts.bytes.len(), 0);
        for (shared, own) in shared.into_iter().zip(own) {
            let shared = usize::try_from(shared)
                .ok()
                .filter(|shared| *shared <= last.1)?;
            let (suffix, behind) = bytes.split_at_checked(usize::try_from(own).ok()?)?;
            bytes = behind;
            let length = shared
                .checked_add(suffix.len())
                .filter(|length| *length <= LEAF_MAX)?;
            self.budget.take(length)?;
            let start = self.texts.bytes.len();
            self.texts.bytes.extend_from_within(last.0..last.0 + shared);
            self.texts.bytes.extend_from_slice(suffix);
            self.texts.end()?;
            last = (start, length);
        }
        bytes.is_empty().then_some(())
    }

    fn finish(self) -> Option<Values> {
        if self.done() != self.rows {
            return None;
        }
        Some(if self.column.is_number() {
            Values::Numbers(self.numbers)
        } else {
            Values::Texts(self.texts)
        })
    }
}

/// Values from `start` on to rows: those without one get `nothing`. Without levels every row has one. There are as many values
/// as levels that say so.
fn spread<T: Copy>(levels: &[u32], start: usize, values: &mut Vec<T>, nothing: T) {
    let mut from = values.len();
    if levels.is_empty() || from - start == levels.len() {
        return;
    }
    values.resize(start + levels.len(), nothing);
    // From the last to the first, so that no value is written over before it has moved.
    let values = &mut values[start..];
    from -= start;
    for (to, level) in levels.iter().enumerate().rev() {
        values[to] = if *level == 1 {
            from -= 1;
            values[from]
        } else {
            nothing
        };
    }
}

fn plain_numbers(bytes: &[u8], count: usize) -> Option<Vec<i64>> {
    let (chunks, rest) = bytes.as_chunks();
    let right = chunks.len() == count && rest.is_empty();
    right.then(|| {
        chunks
            .iter()
            .map(|chunk| i64::from_le_bytes(*chunk))
            .collect()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    /// A page of `seq`, as a header says it: numbers are zigzag, so twice as large.
    fn page(unpacked: usize, packed: &[u8]) -> Vec<u8> {
        let number = |value: usize, out: &mut Vec<u8>| {
            out.push(0x15);
            let mut value = 2 * value;
            while value > 0x7f {
                out.push(value as u8 | 0x80);
                value >>= 7;
            }
            out.push(value as u8);
        };
        let mut bytes = Vec::new();
        number(DATA_PAGE_V2 as usize, &mut bytes);
        number(unpacked, &mut bytes);
        number(packed.len(), &mut bytes);
        bytes.push(0x5c);
        for value in [0, 0, 0] {
            number(value, &mut bytes);
        }
        number(DELTA_BINARY_PACKED as usize, &mut bytes);
        number(0, &mut bytes);
        number(0, &mut bytes);
        bytes.extend([0x11, 0, 0]);
        bytes.extend(packed);
        bytes
    }

    #[test]
    fn pages_that_unpack_to_more_than_any_has_are_refused() {
        let zeros = vec![0; UNPACKED_MAX];
        let bomb = zstd::bulk::compress(&zeros, 1).unwrap();
        let read = |chunk: &[u8]| {
            let mut pages = Pages {
                rest: chunk,
                compressed: true,
                left: UNPACKED_MAX,
            };
            let (mut zstd, mut page) = (Decompressor::new().unwrap(), Vec::new());
            let mut count = 0;
            while !pages.rest.is_empty() && pages.next(&mut zstd, &mut page).is_some() {
                count += 1;
            }
            (count, page.capacity())
        };
        let whole = page(UNPACKED_MAX, &bomb);
        assert_eq!(read(&whole).0, 1);
        // More than it says, more than may be, and twice as much as may be.
        let (count, kept) = read(&page(1000, &bomb));
        assert!(count == 0 && kept < 2000, "{count} pages, {kept} bytes");
        let (count, kept) = read(&page(UNPACKED_MAX + 1, &bomb));
        assert_eq!((count, kept), (0, 0));
        assert_eq!(read(&[whole.clone(), whole].concat()).0, 1);
    }

    #[test]
    fn reads_a_page_of_no_rows_and_misses_those_that_are_not_there() {
        let empty = [0x80, 0x01, 0x04, 0x00, 0x00];
        let packed = zstd::bulk::compress(&empty, 1).unwrap();
        let chunk = page(empty.len(), &packed);
        let mut memory = Memory::new().unwrap();
        let mut read = |rows| {
            read(
                &COLUMNS[0],
                &chunk,
                true,
                rows,
                &mut Budget::new(),
                &mut memory,
            )
        };
        assert!(read(0).is_some());
        assert!(read(1).is_none());
    }
}
