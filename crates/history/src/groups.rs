//! Sums over all records, by the words that some columns have.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::mpsc::{RecvError, sync_channel};
use std::thread::{self, available_parallelism};

use ringfence_archive::{Block, COLUMNS, SealedReader, Value, value};
use ringfence_model::flow::Flow;

use crate::{History, HistoryError};

/// Most columns by which records are told apart.
pub const GROUP_KEYS_MAX: usize = 6;

/// Threads that read, at most; each has a row group in memory.
const PARTS: usize = 4;

/// Places of a table of pairs, at most.
const TABLE_PLACES: usize = 1 << 20;

/// A stretch of time, nanoseconds since the Unix epoch, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From this on.
    pub since_ns: u64,
    /// Before this; `None`: to the end.
    pub until_ns: Option<u64>,
}

impl Span {
    /// All of it.
    pub const ALL: Self = Self {
        since_ns: 0,
        until_ns: None,
    };

    /// Clocks are set, so each record is judged by itself.
    fn holds(self, time_ns: u64) -> bool {
        self.since_ns <= time_ns && self.until_ns.is_none_or(|until| time_ns < until)
    }
}

/// What records with the same words have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many records.
    pub records: u64,
    /// Their `count`.
    pub count: u64,
    /// Their `bytesSent`.
    pub bytes_sent: u64,
    /// Their `bytesReceived`.
    pub bytes_received: u64,
    /// The earliest of their times.
    pub first_ns: u64,
    /// The latest of their times.
    pub last_ns: u64,
}

impl Sums {
    fn add(&mut self, [time, count, sent, received]: [u64; 4]) {
        self.first_ns = if self.records == 0 {
            time
        } else {
            self.first_ns.min(time)
        };
        self.last_ns = self.last_ns.max(time);
        self.records += 1;
        self.count = self.count.saturating_add(count);
        self.bytes_sent = self.bytes_sent.saturating_add(sent);
        self.bytes_received = self.bytes_received.saturating_add(received);
    }

    /// Takes on those of others.
    pub fn join(&mut self, other: &Self) {
        if other.records == 0 {
            return;
        }
        self.first_ns = if self.records == 0 {
            other.first_ns
        } else {
            self.first_ns.min(other.first_ns)
        };
        self.last_ns = self.last_ns.max(other.last_ns);
        self.records += other.records;
        self.count = self.count.saturating_add(other.count);
        self.bytes_sent = self.bytes_sent.saturating_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(other.bytes_received);
    }
}

/// What is added up, by name.
const ADDED: [&str; 4] = ["time", "count", "bytesSent", "bytesReceived"];

impl History {
    /// Adds up the records of `span` that have the same words in the columns `keys` (names of columns of text, at most
    /// [`GROUP_KEYS_MAX`]; the empty text where a record says nothing). The same words may come several times: once for each row
    /// group that has them.
    pub fn groups(
        &self,
        keys: &[&str],
        span: Span,
        mut visit: impl FnMut(&[&str], &Sums),
    ) -> Result<(), HistoryError> {
        assert!(
            keys.len() <= GROUP_KEYS_MAX,
            "more keys than there is room for"
        );
        let place = |name: &&str| COLUMNS.iter().position(|column| column.name == *name);
        let places: Vec<usize> = keys.iter().chain(&ADDED).filter_map(place).collect();
        assert_eq!(
            places.len(),
            keys.len() + ADDED.len(),
            "keys are names of columns"
        );
        self.each_block(&places, span, keys.len(), |summed| summed.tell(&mut visit))?;
        self.each_hot(|seq, flow| {
            of_record(seq, flow, &places, span, &mut visit);
            Ok::<_, HistoryError>(ControlFlow::Continue(()))
        })
    }

    /// Sums up the row groups of all sealed files in threads, and hands them out in the order of the log.
    fn each_block(
        &self,
        places: &[usize],
        span: Span,
        keys: usize,
        mut each: impl FnMut(Summed),
    ) -> Result<(), HistoryError> {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let count = cores.min(PARTS);
        thread::scope(|scope| {
            let mut parts = Vec::with_capacity(count);
            for part in 0..count {
                let (to, from) = sync_channel(1);
                thread::Builder::new()
                    .spawn_scoped(scope, move || {
                        let read = self.part(part, count, places, |block| {
                            to.send(Ok(Summed::new(block, keys, span))).is_ok()
                        });
                        if let Err(error) = read {
                            // Nobody takes it: another part has failed before.
                            let _too_late = to.send(Err(error));
                        }
                    })
                    .map_err(HistoryError::Threads)?;
                parts.push(from);
            }
            // Each part has every so-many-th row group, so taking turns is their order; the first that has no more is the end.
            for from in parts.iter().cycle() {
                match from.recv() {
                    Ok(summed) => each(summed?),
                    Err(RecvError) => break,
                }
            }
            Ok(())
        })
    }

    /// Reads every `count`-th row group from the `part`-th on, until `each` has enough.
    fn part(
        &self,
        part: usize,
        count: usize,
        places: &[usize],
        mut each: impl FnMut(Block) -> bool,
    ) -> Result<(), HistoryError> {
        let mut number = 0;
        for file in self.sealed() {
            let mut reader = SealedReader::open(&file.path)?;
            loop {
                let is_ours = number % count == part;
                if is_ours {
                    match reader.read_columns(places)? {
                        Some(block) => {
                            if !each(block) {
                                return Ok(());
                            }
                        }
                        None => break,
                    }
                } else if !reader.pass_group() {
                    break;
                }
                number += 1;
            }
        }
        Ok(())
    }
}

/// A row group, and the sums of its rows that have the same words.
struct Summed {
    block: Block,
    keys: usize,
    /// Each with one of its rows.
    groups: Vec<(usize, Sums)>,
}

impl Summed {
    fn new(block: Block, keys: usize, span: Span) -> Self {
        let (ids, count) = ids(&block, keys);
        let numbers = |at: usize| block.numbers(keys + at).unwrap_or_default();
        let added = [0, 1, 2, 3].map(numbers);
        let mut groups = vec![(0, Sums::default()); count];
        for (id, row) in ids.iter().zip(block.rows()) {
            // The reader gives one of each for every row.
            let values =
                added.map(|column| column.get(row).map_or(0, |value| value.cast_unsigned()));
            if span.holds(values[0]) {
                let (of, sums) = &mut groups[*id as usize];
                *of = row;
                sums.add(values);
            }
        }
        groups.retain(|(_, sums)| sums.records > 0);
        Self {
            block,
            keys,
            groups,
        }
    }

    fn tell(&self, visit: &mut impl FnMut(&[&str], &Sums)) {
        for (row, sums) in &self.groups {
            let texts = (0..self.keys).filter_map(|at| self.block.texts(at));
            let words: Vec<Cow<'_, str>> = texts
                .map(|texts| String::from_utf8_lossy(texts.get(*row).unwrap_or_default()))
                .collect();
            let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
            visit(&words, sums);
        }
    }
}

/// A number for each row, from 0 on without a gap, the same for those with the same codes in the first `keys` columns; and how many.
fn ids(block: &Block, keys: usize) -> (Vec<u32>, usize) {
    let mut ids = vec![0; block.rows().len()];
    let mut count = 1_usize;
    for texts in (0..keys).filter_map(|at| block.texts(at)) {
        // One more, for a record that says nothing.
        let codes = texts.codes() + 1;
        let mut known = Known::new(count.saturating_mul(codes));
        let mut next = 0;
        for (id, row) in ids.iter_mut().zip(block.rows()) {
            let code = texts.code(row).map_or(codes - 1, |code| code as usize);
            *id = known.id(*id as usize * codes + code, &mut next);
        }
        count = next as usize;
    }
    (ids, count)
}

/// Numbers for pairs of a number that was given before and a code.
enum Known {
    /// For few pairs that there can be: one place each.
    Table(Vec<u32>),
    Map(HashMap<usize, u32, Scatter>),
}

/// No number yet.
const NONE: u32 = u32::MAX;

impl Known {
    fn new(pairs: usize) -> Self {
        if pairs <= TABLE_PLACES {
            Self::Table(vec![NONE; pairs])
        } else {
            Self::Map(HashMap::default())
        }
    }

    fn id(&mut self, pair: usize, next: &mut u32) -> u32 {
        let id = match self {
            Self::Table(all) => &mut all[pair],
            Self::Map(all) => all.entry(pair).or_insert(NONE),
        };
        if *id == NONE {
            *id = *next;
            *next += 1;
        }
        *id
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

fn of_record(
    seq: u64,
    flow: &Flow,
    places: &[usize],
    span: Span,
    visit: &mut impl FnMut(&[&str], &Sums),
) {
    if !span.holds(flow.time_ns) {
        return;
    }
    let keys = places.len() - ADDED.len();
    let values: Vec<Value<'_>> = places[..keys]
        .iter()
        .map(|place| value(&COLUMNS[*place], seq, flow))
        .collect();
    let words: Vec<&str> = values
        .iter()
        .map(|value| match value {
            Value::Text(text) => text.as_ref(),
            Value::Null | Value::Number(_) => "",
        })
        .collect();
    let mut sums = Sums::default();
    sums.add([
        flow.time_ns,
        flow.count,
        flow.bytes_sent,
        flow.bytes_received,
    ]);
    visit(&words, &sums);
}
