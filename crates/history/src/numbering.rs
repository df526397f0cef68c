//! Numbers for the rows of a row group, the same for those that have the same words in some columns.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use ringfence_archive::Texts;

/// Places of a table of pairs, at most: what stays in the cache of a core.
const TABLE_PLACES: usize = 1 << 17;
/// Numbers that there may be without a gap being closed, at most.
const LOOSE: usize = 1 << 10;

/// No number.
pub(crate) const NONE: u32 = u32::MAX;

/// Gives numbers, one row group after the other.
#[derive(Default)]
pub(crate) struct Numbering {
    table: Vec<u32>,
    /// Memory of the numbers before.
    spare: Vec<u32>,
}

impl Numbering {
    /// Takes back numbers that are not looked at any more.
    pub(crate) fn take_back(&mut self, numbers: Vec<u32>) {
        self.spare = numbers;
    }

    /// A number for each of `rows`, the same for those with the same codes in all of `texts`; and one more than the highest.
    pub(crate) fn number(&mut self, texts: &[&Texts], rows: Range<usize>) -> (Vec<u32>, usize) {
        let mut numbers = std::mem::take(&mut self.spare);
        numbers.clear();
        numbers.resize(rows.len(), 0);
        let mut count = 1_usize;
        let mut texts = texts.to_vec();
        // What has most words first: it says most of the others, so that there are few pairs all the way.
        texts.sort_by_key(|texts| std::cmp::Reverse(texts.codes()));
        for texts in texts {
            // One more, for a record that says nothing.
            let codes = texts.codes() + 1;
            let pairs = count.saturating_mul(codes);
            let pair = |number: u32, row| {
                let code = texts.code(row).map_or(codes - 1, |code| code as usize);
                number as usize * codes + code
            };
            let each = numbers.iter_mut().zip(rows.clone());
            if pairs <= LOOSE {
                each.for_each(|(number, row)| *number = pair(*number, row) as u32);
                count = pairs;
                continue;
            }
            let mut next = 0;
            let mut fresh = |of: &mut u32| {
                if *of == NONE {
                    *of = next;
                    next += 1;
                }
                *of
            };
            if pairs <= TABLE_PLACES {
                self.table.clear();
                self.table.resize(pairs, NONE);
                let table = &mut self.table;
                each.for_each(|(number, row)| *number = fresh(&mut table[pair(*number, row)]));
            } else {
                let mut known: HashMap<usize, u32, Scatter> = HashMap::default();
                each.for_each(|(number, row)| {
                    *number = fresh(known.entry(pair(*number, row)).or_insert(NONE));
                });
            }
            count = next as usize;
        }
        (numbers, count)
    }
}

/// Spreads the codes of a row group, of which there are few, over a table. Who chooses words does not choose their codes.
#[derive(Clone, Copy)]
struct Scatter(u64);

impl Default for Scatter {
    /// Another one for each row group, that no one can know.
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish() | 1)
    }
}

impl BuildHasher for Scatter {
    type Hasher = Scattered;

    fn build_hasher(&self) -> Scattered {
        Scattered {
            state: self.0,
            odd: self.0,
        }
    }
}

struct Scattered {
    state: u64,
    odd: u64,
}

impl Hasher for Scattered {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.odd);
        self.state = (product >> 64) as u64 ^ product as u64;
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}
