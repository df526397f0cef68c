//! The footer: what lies where.

use super::thrift::{Kind, Thrift};
use crate::columns::{COLUMNS, Column, columns_of};
use crate::footer::{About, Digest};
use crate::seal::GROUP_ROWS;

/// What is kept of a footer.
pub(super) struct Meta {
    pub(super) about: About,
    pub(super) groups: Vec<Group>,
}

/// A row group: where its bytes are, and of which columns.
pub(super) struct Group {
    /// Row of the file, from 0, with which it begins.
    pub(super) first_row: u64,
    pub(super) rows: usize,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Of the first columns; a file of an earlier form has fewer than there are.
    pub(super) chunks: Vec<Chunk>,
    /// The hash of all its bytes, or of each of its chunks.
    pub(super) digests: Vec<Digest>,
}

/// The bytes of a column in a row group.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) compressed: bool,
}

/// Physical types, as Parquet numbers them.
const INT64: i64 = 2;
const BYTE_ARRAY: i64 = 6;
/// Repetitions.
const REQUIRED: i64 = 0;
const OPTIONAL: i64 = 1;
/// Codecs.
const UNCOMPRESSED: i64 = 0;
const ZSTD: i64 = 6;

/// What a footer may list: more than any has.
const ELEMENTS_MAX: usize = 64;
const GROUPS_MAX: usize = 65_536;
const PAIRS_MAX: usize = 64;

#[derive(Default)]
struct RawGroup {
    chunks: Vec<RawChunk>,
    rows: i64,
}

#[derive(Default)]
struct RawChunk {
    physical: i64,
    codec: i64,
    values: i64,
    length: i64,
    data: i64,
    dictionary: Option<i64>,
    is_named: bool,
}

#[derive(Default)]
struct RawElement {
    physical: Option<i64>,
    repetition: Option<i64>,
    children: i64,
    name: String,
}

/// Reads a footer; `data_end`: where in the file it begins.
pub(super) fn read(footer: &[u8], data_end: u64) -> Result<Meta, String> {
    let raw = Raw::read(footer).ok_or("its footer cannot be read")?;
    let pairs: Vec<(&str, &str)> = raw
        .pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let about = About::from_pairs(&pairs)?;
    let columns = &COLUMNS[..columns_of(about.form)];
    raw.check_schema(columns)?;
    if u64::try_from(raw.rows) != Ok(about.records) {
        return Err(format!(
            "it has {} rows and says {} records",
            raw.rows, about.records
        ));
    }
    let each = about.digests_of_group();
    if about.digests.len() != raw.groups.len() * each {
        return Err("it has not as many hashes as row groups and their columns".to_owned());
    }
    let mut groups = Vec::with_capacity(raw.groups.len());
    // Behind the magic number. Groups and columns follow each other without a gap.
    let (mut row, mut place) = (0, 4);
    let noted = about.digests.chunks(each);
    for (number, (group, digests)) in raw.groups.iter().zip(noted).enumerate() {
        let found = locate(group, columns, row, place, digests)
            .filter(|found| found.end <= data_end)
            .ok_or_else(|| format!("row group {number} is not where it can be"))?;
        row += found.rows as u64;
        place = found.end;
        groups.push(found);
    }
    if row != about.records {
        return Err(format!(
            "its row groups have {row} rows, not {}",
            about.records
        ));
    }
    Ok(Meta { about, groups })
}

fn locate(
    raw: &RawGroup,
    columns: &[Column],
    first_row: u64,
    start: u64,
    digests: &[Digest],
) -> Option<Group> {
    let rows = usize::try_from(raw.rows).ok()?;
    if rows == 0 || rows > GROUP_ROWS || raw.chunks.len() != columns.len() {
        return None;
    }
    let mut end = start;
    let mut chunks = Vec::with_capacity(columns.len());
    for (chunk, column) in raw.chunks.iter().zip(columns) {
        let begins = chunk.dictionary.unwrap_or(chunk.data);
        let fits = chunk.values == raw.rows
            && chunk.physical == physical(column.is_number())
            && u64::try_from(begins).ok()? == end
            && begins <= chunk.data;
        let compressed = match chunk.codec {
            ZSTD => true,
            UNCOMPRESSED => false,
            _ => return None,
        };
        if !fits {
            return None;
        }
        let length = u64::try_from(chunk.length).ok()?;
        chunks.push(Chunk {
            start: end,
            length,
            compressed,
        });
        end = end.checked_add(length)?;
    }
    Some(Group {
        first_row,
        rows,
        start,
        end,
        chunks,
        digests: digests.to_vec(),
    })
}

fn physical(is_number: bool) -> i64 {
    if is_number { INT64 } else { BYTE_ARRAY }
}

#[derive(Default)]
struct Raw {
    elements: Vec<RawElement>,
    rows: i64,
    groups: Vec<RawGroup>,
    pairs: Vec<(String, String)>,
}

impl Raw {
    fn read(footer: &[u8]) -> Option<Self> {
        let mut raw = Self::default();
        Thrift::new(footer).fields(|thrift, id, kind| {
            match (id, kind) {
                (2, Kind::List) => raw.elements = thrift.structs(ELEMENTS_MAX, element)?,
                (3, Kind::Number) => raw.rows = thrift.number()?,
                (4, Kind::List) => raw.groups = thrift.structs(GROUPS_MAX, group)?,
                (5, Kind::List) => raw.pairs = thrift.structs(PAIRS_MAX, pair)?,
                _ => return Some(false),
            }
            Some(true)
        })?;
        Some(raw)
    }

    /// The schema has to be ours, name by name: readers who know no more than the file must see what we see.
    fn check_schema(&self, columns: &[Column]) -> Result<(), String> {
        let wrong = || "its columns are not those of a sealed file".to_owned();
        let (root, fields) = self.elements.split_first().ok_or_else(wrong)?;
        let same = fields.iter().zip(columns).all(|(field, column)| {
            let repetition = if column.always { REQUIRED } else { OPTIONAL };
            field.name == column.name
                && field.physical == Some(physical(column.is_number()))
                && field.repetition == Some(repetition)
                && field.children == 0
        });
        let as_many = fields.len() == columns.len() && root.children == columns.len() as i64;
        if same && as_many {
            Ok(())
        } else {
            Err(wrong())
        }
    }
}

fn element(thrift: &mut Thrift<'_>, _: usize) -> Option<RawElement> {
    let mut element = RawElement::default();
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::Number) => element.physical = Some(thrift.number()?),
            (3, Kind::Number) => element.repetition = Some(thrift.number()?),
            (4, Kind::Binary) => thrift.text()?.clone_into(&mut element.name),
            (5, Kind::Number) => element.children = thrift.number()?,
            _ => return Some(false),
        }
        Some(true)
    })?;
    Some(element)
}

fn group(thrift: &mut Thrift<'_>, _: usize) -> Option<RawGroup> {
    let mut group = RawGroup::default();
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::List) => group.chunks = thrift.structs(COLUMNS.len(), chunk)?,
            (3, Kind::Number) => group.rows = thrift.number()?,
            _ => return Some(false),
        }
        Some(true)
    })?;
    Some(group)
}

fn chunk(thrift: &mut Thrift<'_>, place: usize) -> Option<RawChunk> {
    let mut found = None;
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            // A column in another file.
            (1, _) => return None,
            (3, Kind::Struct) => found = Some(column(thrift, COLUMNS.get(place)?.name)?),
            _ => return Some(false),
        }
        Some(true)
    })?;
    found
}

fn column(thrift: &mut Thrift<'_>, name: &str) -> Option<RawChunk> {
    let mut chunk = RawChunk::default();
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::Number) => chunk.physical = thrift.number()?,
            (3, Kind::List) => {
                let is_one = thrift.list()? == (Kind::Binary, 1);
                chunk.is_named = is_one && thrift.text()? == name;
                if !chunk.is_named {
                    return None;
                }
            }
            (4, Kind::Number) => chunk.codec = thrift.number()?,
            (5, Kind::Number) => chunk.values = thrift.number()?,
            (7, Kind::Number) => chunk.length = thrift.number()?,
            (9, Kind::Number) => chunk.data = thrift.number()?,
            (11, Kind::Number) => chunk.dictionary = Some(thrift.number()?),
            _ => return Some(false),
        }
        Some(true)
    })?;
    chunk.is_named.then_some(chunk)
}

fn pair(thrift: &mut Thrift<'_>, _: usize) -> Option<(String, String)> {
    let mut pair = (String::new(), String::new());
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::Binary) => thrift.text()?.clone_into(&mut pair.0),
            (2, Kind::Binary) => thrift.text()?.clone_into(&mut pair.1),
            _ => return Some(false),
        }
        Some(true)
    })?;
    Some(pair)
}
