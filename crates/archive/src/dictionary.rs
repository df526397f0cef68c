//! The texts of a column on their way to a row group: each different one once, and which of them each row has.

use std::hash::{BuildHasher, RandomState};

use parquet::data_type::ByteArray;

/// Of a row that has none.
pub(crate) const NONE: u32 = u32::MAX;
/// Places of an empty table.
const PLACES: usize = 64;

/// The texts, numbered as they come.
pub(crate) struct Dictionary {
    bytes: Vec<u8>,
    /// Where each text ends in `bytes`; it begins where the one before it ends.
    ends: Vec<u32>,
    /// A part of the hash of each.
    hashes: Vec<u32>,
    /// Numbers of texts, each where its hash says or at the next free place; [`NONE`]: free. At most half of it is taken.
    table: Vec<u32>,
    rows: Vec<u32>,
    last: u32,
    hasher: ahash::RandomState,
}

impl Dictionary {
    pub(crate) fn new() -> Self {
        let known = RandomState::new();
        // Workloads choose texts; they cannot know where these go.
        let [a, b, c, d] = [0, 1, 2, 3].map(|seed| known.hash_one(seed));
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            hashes: Vec::new(),
            table: vec![NONE; PLACES],
            rows: Vec::new(),
            last: NONE,
            hasher: ahash::RandomState::with_seeds(a, b, c, d),
        }
    }

    /// A row that has no text.
    pub(crate) fn push_nothing(&mut self) {
        self.rows.push(NONE);
    }

    /// A row that has this text.
    pub(crate) fn push(&mut self, text: &[u8]) {
        if self.last == NONE || self.text(self.last) != text {
            self.last = self.number(text);
        }
        self.rows.push(self.last);
    }

    /// Bytes of all different texts, as the file has them.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + size_of::<u32>() * self.ends.len()
    }

    /// How many different texts there are.
    pub(crate) fn different(&self) -> usize {
        self.ends.len()
    }

    /// Which text each row has.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The different texts, in the order of their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[start as usize..*end as usize])
    }

    /// The numbers of the least and the greatest of some texts and one more.
    pub(crate) fn wider(&self, bounds: Option<(u32, u32)>, number: u32) -> (u32, u32) {
        let Some((least, greatest)) = bounds else {
            return (number, number);
        };
        let text = self.text(number);
        if text < self.text(least) {
            (number, greatest)
        } else if text > self.text(greatest) {
            (least, number)
        } else {
            (least, greatest)
        }
    }

    /// The text with this number.
    pub(crate) fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    fn number(&mut self, text: &[u8]) -> u32 {
        if 2 * self.ends.len() >= self.table.len() {
            self.grow();
        }
        let hash = self.hasher.hash_one(text) as u32;
        let mut place = hash as usize & (self.table.len() - 1);
        loop {
            match self.table[place] {
                NONE => break,
                number if self.hashes[number as usize] == hash && self.text(number) == text => {
                    return number;
                }
                _ => place = (place + 1) & (self.table.len() - 1),
            }
        }
        // As many as rows, within `GROUP_BYTES`: four bytes are enough.
        let number = self.ends.len() as u32;
        self.table[place] = number;
        self.hashes.push(hash);
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
        number
    }

    fn grow(&mut self) {
        let places = 2 * self.table.len();
        self.table.clear();
        self.table.resize(places, NONE);
        for (number, hash) in (0..).zip(&self.hashes) {
            let mut place = *hash as usize & (places - 1);
            while self.table[place] != NONE {
                place = (place + 1) & (places - 1);
            }
            self.table[place] = number;
        }
    }

    /// The texts of the rows that have one.
    pub(crate) fn values(&self) -> Vec<ByteArray> {
        let different: Vec<ByteArray> = self
            .all()
            .map(|text| ByteArray::from(text.to_vec()))
            .collect();
        let rows = self.rows.iter().filter(|row| **row != NONE);
        rows.map(|row| different[*row as usize].clone()).collect()
    }

    /// For each row, whether it has a text.
    pub(crate) fn levels(&self) -> Vec<i16> {
        self.rows
            .iter()
            .map(|row| i16::from(*row != NONE))
            .collect()
    }

    /// Empties it, and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.hashes.clear();
        self.table.fill(NONE);
        self.rows.clear();
        self.last = NONE;
    }
}
