//! A column of a row group: pages to values.

use super::block::{NONE, Texts};
use super::packed::{deltas, hybrid};
use super::thrift::{Kind, Thrift};
use crate::LEAF_MAX;
use crate::columns::Column;

/// Longest pages of a column together, unpacked: all that the rows of a group say, twice (see `seal.rs`), with their lengths, and a little.
const UNPACKED_MAX: usize = 80 * 1024 * 1024;

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

/// Reads the pages of a column. `None`: they are not what a sealed file has.
pub(super) fn read(
    column: &Column,
    chunk: &[u8],
    compressed: bool,
    rows: usize,
    budget: &mut Budget,
) -> Option<Values> {
    let mut pages = Pages {
        rest: chunk,
        compressed,
        unpacked: Vec::new(),
        left: UNPACKED_MAX,
    };
    let mut decoder = Decoder {
        column,
        rows,
        numbers: Vec::new(),
        number_dictionary: Vec::new(),
        texts: Texts::default(),
        dictionary: None,
        budget,
    };
    while !pages.rest.is_empty() {
        let page = pages.next()?;
        decoder.page(&page, &pages.unpacked)?;
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

/// The pages of a column, unpacked one after the other.
struct Pages<'a> {
    rest: &'a [u8],
    compressed: bool,
    unpacked: Vec<u8>,
    /// What all that follow may have unpacked.
    left: usize,
}

impl Pages<'_> {
    fn next(&mut self) -> Option<Page> {
        let mut thrift = Thrift::new(self.rest);
        let page = Page::read(&mut thrift)?;
        let (packed, behind) = thrift.rest().split_at_checked(page.packed)?;
        self.rest = behind;
        self.left = self.left.checked_sub(page.unpacked)?;
        // Levels are never compressed.
        let (levels, packed) = packed.split_at_checked(page.levels)?;
        let values = page.unpacked.checked_sub(levels.len())?;
        self.unpacked.clear();
        self.unpacked.extend_from_slice(levels);
        if self.compressed && page.is_compressed && !packed.is_empty() {
            let unpacked = zstd::bulk::decompress(packed, values).ok()?;
            if unpacked.len() != values {
                return None;
            }
            self.unpacked.extend_from_slice(&unpacked);
        } else if packed.len() == values {
            self.unpacked.extend_from_slice(packed);
        } else {
            return None;
        }
        Some(page)
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

    fn page(&mut self, page: &Page, bytes: &[u8]) -> Option<()> {
        if page.kind == DICTIONARY_PAGE {
            return self.dictionary_page(page, bytes);
        }
        if page.values > self.rows - self.done() || page.nulls > page.values {
            return None;
        }
        let (levels, values) = bytes.split_at_checked(page.levels)?;
        let here = page.values - page.nulls;
        let mut there = Vec::new();
        if self.column.always {
            if page.nulls != 0 || page.levels != 0 {
                return None;
            }
        } else {
            hybrid(levels, 1, page.values, &mut there)?;
            if there.iter().filter(|level| **level == 1).count() != here {
                return None;
            }
        }
        if self.column.is_number() {
            let values = self.number_values(page.encoding, values, here)?;
            self.numbers.extend(spread(&there, page.values, &values, 0));
        } else {
            let values = self.text_values(page.encoding, values, here)?;
            self.texts
                .rows
                .extend(spread(&there, page.values, &values, NONE));
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

    fn indices(&self, bytes: &[u8], count: usize) -> Option<Vec<u32>> {
        let known = self.dictionary?;
        let mut indices = Vec::new();
        if count > 0 {
            let (width, packed) = bytes.split_first()?;
            hybrid(packed, u32::from(*width), count, &mut indices)?;
        }
        indices
            .iter()
            .all(|index| (*index as usize) < known)
            .then_some(indices)
    }

    fn number_values(&self, encoding: i64, bytes: &[u8], count: usize) -> Option<Vec<i64>> {
        match encoding {
            PLAIN => plain_numbers(bytes, count),
            RLE_DICTIONARY => {
                let indices = self.indices(bytes, count)?;
                Some(
                    indices
                        .iter()
                        .map(|index| self.number_dictionary[*index as usize])
                        .collect(),
                )
            }
            DELTA_BINARY_PACKED => all_deltas(bytes, count),
            _ => None,
        }
    }

    /// Which of the texts that are known, or become so, are the values.
    fn text_values(&mut self, encoding: i64, bytes: &[u8], count: usize) -> Option<Vec<u32>> {
        let first = u32::try_from(self.texts.ends.len()).ok()?;
        match encoding {
            RLE_DICTIONARY => return self.indices(bytes, count),
            PLAIN => self.plain_texts(bytes, count)?,
            DELTA_BYTE_ARRAY => self.front_coded(bytes, count)?,
            _ => return None,
        }
        Some((first..).take(count).collect())
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

/// Values to rows: those without one get `nothing`. Without levels every row has one.
fn spread<T: Copy>(there: &[u32], rows: usize, values: &[T], nothing: T) -> Vec<T> {
    if there.is_empty() {
        return values.to_vec();
    }
    let mut values = values.iter().copied();
    let row = |level: &u32| if *level == 1 { values.next() } else { None };
    let spread: Vec<T> = there
        .iter()
        .map(row)
        .map(|value| value.unwrap_or(nothing))
        .collect();
    debug_assert_eq!(spread.len(), rows);
    spread
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

fn all_deltas(mut bytes: &[u8], count: usize) -> Option<Vec<i64>> {
    let mut values = Vec::new();
    deltas(&mut bytes, count, &mut values)?;
    bytes.is_empty().then_some(values)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;
    use crate::COLUMNS;

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
                unpacked: Vec::new(),
                left: UNPACKED_MAX,
            };
            let mut count = 0;
            while !pages.rest.is_empty() && pages.next().is_some() {
                count += 1;
            }
            (count, pages.unpacked.capacity())
        };
        let whole = page(UNPACKED_MAX, &bomb);
        assert_eq!(read(&whole).0, 1);
        // More than it says, more than may be, and twice as much as may be.
        assert_eq!(read(&page(1000, &bomb)), (0, 0));
        let (count, kept) = read(&page(UNPACKED_MAX + 1, &bomb));
        assert_eq!((count, kept), (0, 0));
        assert_eq!(read(&[whole.clone(), whole].concat()).0, 1);
    }

    #[test]
    fn reads_a_page_of_no_rows_and_misses_those_that_are_not_there() {
        let empty = [0x80, 0x01, 0x04, 0x00, 0x00];
        let packed = zstd::bulk::compress(&empty, 1).unwrap();
        let chunk = page(empty.len(), &packed);
        assert!(read(&COLUMNS[0], &chunk, true, 0, &mut Budget::new()).is_some());
        assert!(read(&COLUMNS[0], &chunk, true, 1, &mut Budget::new()).is_none());
    }
}
