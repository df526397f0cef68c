//! Records by the words that some columns have: what those of one row group with the same words have together.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::thread::{self, available_parallelism};

use ringfence_archive::{Block, COLUMNS, SealedReader, Texts, Value, value};
use ringfence_model::flow::Flow;

use crate::numbering::{NONE, Numbering};
use crate::sums::{ADDED, Span, Sums};
use crate::{History, HistoryError};

/// Most columns by which records are told apart.
pub const GROUP_KEYS_MAX: usize = 6;

/// Threads that read, at most; each has a row group in memory.
const PARTS: usize = 4;

/// What is asked of the log.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Names of columns of text, at most [`GROUP_KEYS_MAX`]: records are told apart by their words in these.
    pub keys: &'a [&'a str],
    /// Name of a column of text whose words a [`Group`] tells, if it is asked.
    pub detail: Option<&'a str>,
    /// Which records.
    pub span: Span,
}

/// Records of one row group, or a single one that is not sealed, that have the same words in the columns that were asked for.
pub struct Group<'a> {
    words: &'a [&'a str],
    sums: &'a Sums,
    detail: Detail<'a>,
}

enum Detail<'a> {
    Word(&'a str),
    Of(&'a Summed, u32),
}

impl Group<'_> {
    /// The words, in the order of the keys; the empty text where a record says nothing.
    pub fn words(&self) -> &[&str] {
        self.words
    }

    /// What the records add up to.
    pub fn sums(&self) -> &Sums {
        self.sums
    }

    /// Hands out each different word that its records have in the column of [`Asked::detail`], until `each` has enough.
    pub fn each_detail(&self, mut each: impl FnMut(&str) -> ControlFlow<()>) {
        match self.detail {
            Detail::Word(word) => {
                let _enough = each(word);
            }
            Detail::Of(summed, number) => summed.each_detail(number, each),
        }
    }
}

impl History {
    /// Shows every [`Group`] to `visit`, in threads that have part of the row groups each, and begin with what `start` gives. Gives what
    /// became of those. The same words may come several times: once for each row group that has them, in the order of the log
    /// among those of a thread.
    pub fn fold<A: Send>(
        &self,
        asked: &Asked<'_>,
        start: impl Fn() -> A + Sync,
        visit: impl Fn(&mut A, &Group<'_>) + Sync,
    ) -> Result<Vec<A>, HistoryError> {
        let places = Places::of(asked);
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let count = cores.min(PARTS);
        let (start, visit) = (&start, &visit);
        let parts = thread::scope(|scope| {
            let mut parts = Vec::with_capacity(count);
            for part in 0..count {
                let places = &places;
                let read = move || {
                    let mut all = start();
                    let mut numbering = Numbering::default();
                    self.part(part, count, &places.all, |block| {
                        let summed = Summed::new(block, places, asked.span, &mut numbering);
                        summed.tell(|group| visit(&mut all, group));
                        numbering.take_back(summed.numbers);
                        summed.block
                    })?;
                    Ok(all)
                };
                let thread = thread::Builder::new().spawn_scoped(scope, read);
                parts.push(thread.map_err(HistoryError::Threads)?);
            }
            let parts = parts.into_iter().map(|part| match part.join() {
                Ok(read) => read,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            parts.collect::<Result<Vec<A>, HistoryError>>()
        });
        let mut parts = parts?;
        if let Some(last) = parts.last_mut() {
            self.each_hot(|seq, flow| {
                places.tell_record(seq, flow, asked.span, |group| visit(last, group));
                Ok::<_, HistoryError>(ControlFlow::Continue(()))
            })?;
        }
        Ok(parts)
    }

    /// Reads every `count`-th row group from the `part`-th on. `each` gives back what it has looked at.
    fn part(
        &self,
        part: usize,
        count: usize,
        places: &[usize],
        mut each: impl FnMut(Block) -> Block,
    ) -> Result<(), HistoryError> {
        let mut number = 0;
        for file in self.sealed() {
            let mut reader = SealedReader::open(&file.path)?;
            loop {
                let is_ours = number % count == part;
                if is_ours {
                    match reader.read_columns(places)? {
                        Some(block) => reader.take_back(each(block)),
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

/// Where in [`COLUMNS`] what is asked for stands: keys, what is added up, and the detail, if any.
struct Places {
    all: Vec<usize>,
    keys: usize,
}

impl Places {
    fn of(asked: &Asked<'_>) -> Self {
        let keys = asked.keys.len();
        assert!(keys <= GROUP_KEYS_MAX, "more keys than there is room for");
        let place = |name: &&str| COLUMNS.iter().position(|column| column.name == *name);
        let names = asked.keys.iter().chain(&ADDED).chain(asked.detail.as_ref());
        let all: Vec<usize> = names.clone().filter_map(place).collect();
        assert_eq!(all.len(), names.count(), "keys are names of columns");
        Self { all, keys }
    }

    fn detail(&self) -> usize {
        self.keys + ADDED.len()
    }

    /// A record that is not sealed.
    fn tell_record(&self, seq: u64, flow: &Flow, span: Span, visit: impl FnOnce(&Group<'_>)) {
        if !span.holds(flow.time_ns) {
            return;
        }
        let word = |place: &usize| match value(&COLUMNS[*place], seq, flow) {
            Value::Text(text) => text,
            Value::Null | Value::Number(_) => Cow::Borrowed(""),
        };
        let words: Vec<Cow<'_, str>> = self.all[..self.keys].iter().map(word).collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let detail = self.all.get(self.detail()).map(word);
        let mut sums = Sums::default();
        sums.add([
            flow.time_ns,
            flow.count,
            flow.bytes_sent,
            flow.bytes_received,
        ]);
        visit(&Group {
            words: &words,
            sums: &sums,
            detail: Detail::Word(detail.as_deref().unwrap_or_default()),
        });
    }
}

/// A row group, and the sums of its rows that have the same words.
struct Summed {
    block: Block,
    keys: usize,
    detail: usize,
    /// The number of each row's group; [`NONE`]: it is not asked for.
    numbers: Vec<u32>,
    /// Each with one of its rows.
    groups: Vec<(usize, Sums)>,
    /// The rows of each group, one group after the other, and where each begins.
    by_group: OnceCell<(Vec<u32>, Vec<u32>)>,
    /// How often words were told, and by the code of a word when it was last.
    told: RefCell<(u32, Vec<u32>)>,
}

impl Summed {
    fn new(block: Block, places: &Places, span: Span, numbering: &mut Numbering) -> Self {
        let keys = places.keys;
        let texts: Vec<&Texts> = (0..keys).filter_map(|at| block.texts(at)).collect();
        let (mut numbers, count) = numbering.number(&texts, block.rows());
        let column = |at: usize| {
            let numbers = block.numbers(keys + at).unwrap_or_default();
            numbers.get(block.rows()).unwrap_or_default()
        };
        let [times, counts, sent, received] = [0, 1, 2, 3].map(column);
        let mut groups = vec![(0, Sums::default()); count];
        // The reader gives one of each for every row.
        let values = times.iter().zip(counts).zip(sent.iter().zip(received));
        for ((number, row), ((time, count), (sent, received))) in
            numbers.iter_mut().zip(block.rows()).zip(values)
        {
            let values = [*time, *count, *sent, *received].map(i64::cast_unsigned);
            if span.holds(values[0]) {
                let (of, sums) = &mut groups[*number as usize];
                *of = row;
                sums.add(values);
            } else {
                *number = NONE;
            }
        }
        Self {
            detail: places.detail(),
            keys,
            numbers,
            groups,
            block,
            by_group: OnceCell::new(),
            told: RefCell::default(),
        }
    }

    fn tell(&self, mut visit: impl FnMut(&Group<'_>)) {
        // Each word is looked at once, however many groups have it.
        let texts: Vec<&Texts> = (0..self.keys)
            .filter_map(|at| self.block.texts(at))
            .collect();
        let known: Vec<Vec<Cow<'_, str>>> = texts.iter().map(|texts| words(texts)).collect();
        let mut words = [""; GROUP_KEYS_MAX];
        for (number, (row, sums)) in (0..).zip(&self.groups) {
            if sums.records == 0 {
                continue;
            }
            for ((word, texts), known) in words.iter_mut().zip(&texts).zip(&known) {
                let code = texts.code(*row);
                let found = code.and_then(|code| known.get(code as usize));
                *word = found.map_or("", AsRef::as_ref);
            }
            visit(&Group {
                words: &words[..self.keys],
                sums,
                detail: Detail::Of(self, number),
            });
        }
    }

    fn each_detail(&self, number: u32, mut each: impl FnMut(&str) -> ControlFlow<()>) {
        let Some(texts) = self.block.texts(self.detail) else {
            return;
        };
        let (rows, starts) = self.by_group.get_or_init(|| self.rows_by_group());
        let bound = |number: usize| {
            starts
                .get(number)
                .map_or(rows.len(), |start| *start as usize)
        };
        let (turn, told) = &mut *self.told.borrow_mut();
        *turn += 1;
        // One more, for a record that says nothing.
        told.resize(texts.codes() + 1, 0);
        for row in &rows[bound(number as usize)..bound(number as usize + 1)] {
            let code = texts.code(*row as usize);
            let last = &mut told[code.map_or(texts.codes(), |code| code as usize)];
            if *last == *turn {
                continue;
            }
            *last = *turn;
            let word = code
                .and_then(|code| texts.of_code(code))
                .unwrap_or_default();
            if each(&String::from_utf8_lossy(word)).is_break() {
                return;
            }
        }
    }

    fn rows_by_group(&self) -> (Vec<u32>, Vec<u32>) {
        let mut starts = Vec::with_capacity(self.groups.len());
        let mut next = 0;
        for (_, sums) in &self.groups {
            starts.push(next);
            next += sums.records as u32;
        }
        let mut rows = vec![0; next as usize];
        let mut free = starts.clone();
        for (number, row) in self.numbers.iter().zip(self.block.rows()) {
            if let Some(free) = free.get_mut(*number as usize) {
                rows[*free as usize] = row as u32;
                *free += 1;
            }
        }
        (rows, starts)
    }
}

/// The words of a column, by their code.
fn words(texts: &Texts) -> Vec<Cow<'_, str>> {
    let codes = 0..u32::try_from(texts.codes()).unwrap_or(u32::MAX);
    codes
        .map(|code| String::from_utf8_lossy(texts.of_code(code).unwrap_or_default()))
        .collect()
}
