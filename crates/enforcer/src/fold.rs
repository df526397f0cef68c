//! Keeps a flood of refusals from filling the log, without losing count.
//!
//! The first [`FOLD_AFTER`] identical denials of a compartment within [`FOLD_WINDOW`] get a record each. What
//! exceeds them is counted and written as one record, with the exact `count` and the times of the first and the last, when
//! the window ends.
//!
//! Denials that differ are bounded too: a compartment has an allowance of records ([`DENIALS_PER_SECOND`], of which
//! [`DENIALS_AT_ONCE`] may be saved up). Once it is used up, denials are counted by what they have in common ([`Alike::sort`]
//! and the workload they were meant for), in one record for each such sort and window. The log is everybody's: one who
//! could fill it could have all others refused.
//!
//! Only what does not happen is folded, denials above all: an allowed operation is recorded before it happens, so it can
//! never wait for a window.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prost::Message;
use ringfence_model::flow::{Kind, Outcome};
use ringfence_model::{OriginalDst, UNITEMISED};

use crate::cause::Cause;
use crate::limits::{
    DENIAL_SIZE, DENIALS_AT_ONCE, DENIALS_PER_SECOND, FOLD_AFTER, FOLD_WINDOW, RECORD_TEXT,
    SORTS_BY_DESTINATION,
};
use crate::record::{Record, Recorder, bounded, now_ns};

/// What makes two denials of one compartment identical. Ports are no part of it: who goes through them, the client's own or
/// those of one address, does one thing many times.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Alike {
    address: Option<IpAddr>,
    sort: Sort,
    /// Of the destination, the operation and the reason.
    text: u64,
}

/// What a denial is, in words of which there are few, whatever a workload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sort {
    /// Of record.
    pub(crate) kind: Kind,
    /// Denied, or nobody reached.
    pub(crate) outcome: Outcome,
    /// `tcp`, `udp`, `dns`, `http`, `various`.
    pub(crate) protocol: &'static str,
    /// Why.
    pub(crate) cause: Cause,
}

/// The denials of one compartment.
pub(crate) struct Denials {
    recorder: Arc<Recorder>,
    hasher: RandomState,
    window: Mutex<Window>,
}

struct Window {
    since: Instant,
    /// Records that may still be written, each of [`DENIAL_SIZE`] bytes; a longer one counts as several, so this may be
    /// below 0.
    allowance: i64,
    /// Those that were written in this window. No more than the allowance was.
    seen: HashMap<Alike, Seen>,
    /// Those that the allowance was not enough for, by their sort and the workload they were meant for.
    beyond: HashMap<(Sort, String), Record>,
}

struct Seen {
    count: u64,
    /// The first of those beyond [`FOLD_AFTER`], its `count` growing, and where they all went.
    folded: Option<(Record, Option<OriginalDst>)>,
}

impl Denials {
    /// None yet.
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        let window = Window {
            since: Instant::now(),
            allowance: DENIALS_AT_ONCE,
            seen: HashMap::new(),
            beyond: HashMap::new(),
        };
        Self {
            recorder,
            hasher: RandomState::new(),
            window: Mutex::new(window),
        }
    }

    /// Records a denial, now or folded. It was meant for the workload `destination`, or nobody if that is empty, at `original`.
    /// `text` (operation and reason, say) is part of what makes it identical to another. `flow` is only called for a denial
    /// that is written as it is, or that is the first of many.
    pub(crate) fn note(
        &self,
        sort: Sort,
        (destination, original): (&str, Option<OriginalDst>),
        text: impl Hash,
        flow: impl FnOnce() -> Record,
    ) {
        let key = Alike {
            address: original.map(OriginalDst::ip),
            sort,
            text: self.hasher.hash_one((destination, text)),
        };
        let mut window = self.window();
        if window.since.elapsed() >= FOLD_WINDOW {
            self.end(&mut window);
        }
        let spent = window.allowance <= 0;
        match window.seen.get_mut(&key) {
            Some(Seen { count, folded }) if *count >= FOLD_AFTER => match folded {
                Some((folded, at)) => {
                    join(folded, 1, now_ns());
                    if at.is_some_and(|at| at.port() != 0) && *at != original {
                        *at = original.map(any_port);
                        folded.original_destination =
                            at.map(|at| at.to_string()).unwrap_or_default();
                    }
                }
                None => {
                    let mut flow = flow();
                    flow.connection.clear();
                    *folded = Some((flow, original));
                }
            },
            _ if spent => window.beyond(sort, destination, (1, 0), flow),
            _ => {
                let flow = flow();
                window.charge(&flow);
                let seen = window.seen.entry(key).or_insert(Seen {
                    count: 0,
                    folded: None,
                });
                seen.count += 1;
                drop(window);
                self.write(&flow);
            }
        }
    }

    /// Records what a launcher reports: it has folded what is identical, but it may be another user's.
    pub(crate) fn reported(&self, sort: Sort, flow: Record) {
        let mut window = self.window();
        if window.since.elapsed() >= FOLD_WINDOW {
            self.end(&mut window);
        }
        if window.allowance <= 0 {
            let destination = flow.destination.clone();
            let more = (flow.count, flow.last_time_ns.max(flow.time_ns));
            return window.beyond(sort, &destination, more, || flow);
        }
        window.charge(&flow);
        drop(window);
        self.write(&flow);
    }

    /// Writes what is folded and starts a new window, when the present one is over.
    pub(crate) fn tick(&self) {
        let mut window = self.window();
        if window.since.elapsed() >= FOLD_WINDOW {
            self.end(&mut window);
        }
    }

    /// Writes what is folded, at once: nothing more will come.
    pub(crate) fn finish(&self) {
        self.end(&mut self.window());
    }

    fn end(&self, window: &mut Window) {
        for (_, seen) in window.seen.drain() {
            if let Some((folded, _)) = seen.folded {
                self.write(&folded);
            }
        }
        for (_, sum) in window.beyond.drain() {
            self.write(&sum);
        }
        let passed = i64::try_from(window.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let earned = passed.saturating_mul(DENIALS_PER_SECOND) / 1000;
        window.allowance = window.allowance.saturating_add(earned).min(DENIALS_AT_ONCE);
        window.since = Instant::now();
        window.seen.shrink_to(DENIALS_PER_SECOND as usize);
    }

    fn write(&self, flow: &Record) {
        // The denial stands whether or not the log takes it, and the log itself keeps count of what it could
        // not take: see `Recorder::after`.
        let _counted_by_the_log = self.recorder.after(flow);
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn charge(&mut self, flow: &Record) {
        self.allowance -= 1 + (flow.encoded_len() / DENIAL_SIZE) as i64;
    }

    /// Counts what cannot be written as it is: so many, the last of them at a time, 0 for now.
    fn beyond(
        &mut self,
        sort: Sort,
        destination: &str,
        (count, last_ns): (u64, u64),
        flow: impl FnOnce() -> Record,
    ) {
        let mut key = (sort, destination.to_owned());
        if self.beyond.len() >= SORTS_BY_DESTINATION && !self.beyond.contains_key(&key) {
            key.1.clear();
        }
        match self.beyond.get_mut(&key) {
            Some(sum) => {
                let last_ns = if last_ns == 0 { now_ns() } else { last_ns };
                join(sum, count, last_ns);
            }
            None => {
                let sum = without_particulars(flow(), sort, &key.1);
                self.beyond.insert(key, sum);
            }
        }
    }
}

/// Makes `folded` stand for `count` more, the last of them at `last_ns`. What came first stays its time, also where the
/// clock was set back.
fn join(folded: &mut Record, count: u64, last_ns: u64) {
    forget_fields(folded);
    folded.count = folded.count.saturating_add(count);
    folded.last_time_ns = folded.last_time_ns.max(folded.time_ns).max(last_ns);
}

/// What came with one attempt did not come with all.
fn forget_fields(folded: &mut Record) {
    folded.fields.clear();
    folded.fields_key = 0;
}

/// All ports of its address, as records write it.
fn any_port(original: OriginalDst) -> OriginalDst {
    OriginalDst::new(SocketAddr::new(original.ip(), 0))
}

/// A record of many denials of one sort, of which `first` is the first.
fn without_particulars(mut first: Record, sort: Sort, destination: &str) -> Record {
    let to = match first.original_destination.as_str() {
        "" => String::new(),
        original => format!(" to {original}"),
    };
    let reason = format!(
        "more different denials than get a record each; the first was {}{to}: {}",
        first.operation, first.reason
    );
    first.reason = bounded(&reason, RECORD_TEXT);
    first.operation = UNITEMISED.to_owned();
    first.protocol = sort.protocol.to_owned();
    first.destination = destination.to_owned();
    first.connection.clear();
    forget_fields(&mut first);
    first.destination_instance.clear();
    first.original_destination.clear();
    first.rule.clear();
    first
}

impl Drop for Denials {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests;
