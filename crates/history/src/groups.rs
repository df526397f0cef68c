//! Sums over all records, by the words that some columns have.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;

use ringfence_archive::{Block, COLUMNS, SealedReader, Texts, Value, value};
use ringfence_model::flow::Flow;

use crate::{History, HistoryError};

/// Most columns by which records are told apart.
pub const GROUP_KEYS_MAX: usize = 6;

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
        for file in self.sealed() {
            let mut reader = SealedReader::open(&file.path)?;
            while let Some(block) = reader.read_columns(&places)? {
                of_block(&block, keys.len(), span, &mut visit);
            }
        }
        self.each_hot(|seq, flow| {
            of_record(seq, flow, &places, span, &mut visit);
            Ok::<_, HistoryError>(ControlFlow::Continue(()))
        })
    }
}

fn of_block(block: &Block, keys: usize, span: Span, visit: &mut impl FnMut(&[&str], &Sums)) {
    const NOTHING: u32 = u32::MAX;
    let texts: Vec<&Texts> = (0..keys).filter_map(|at| block.texts(at)).collect();
    let numbers = |at: usize| block.numbers(keys + at).unwrap_or_default();
    let added = [0, 1, 2, 3].map(numbers);
    let mut groups: HashMap<[u32; GROUP_KEYS_MAX], Sums> = HashMap::new();
    for row in block.rows() {
        // The reader gives one of each for every row.
        let values = added.map(|column| column.get(row).map_or(0, |value| value.cast_unsigned()));
        if !span.holds(values[0]) {
            continue;
        }
        let mut key = [NOTHING; GROUP_KEYS_MAX];
        for (code, texts) in key.iter_mut().zip(&texts) {
            *code = texts.code(row).unwrap_or(NOTHING);
        }
        groups.entry(key).or_default().add(values);
    }
    for (key, sums) in &groups {
        let coded = texts.iter().zip(key);
        let words: Vec<Cow<'_, str>> = coded
            .map(|(texts, code)| String::from_utf8_lossy(texts.of_code(*code).unwrap_or_default()))
            .collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        visit(&words, sums);
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
