//! Keeps a flood of refusals from filling the log, without losing count.
//!
//! The first [`FOLD_AFTER`] identical denials of a compartment within [`FOLD_WINDOW`] get a record each. What
//! exceeds them is counted and written as one record, with the exact `count`, when the window ends. Only what does not
//! happen is folded, denials above all: an allowed operation is recorded before it happens, so it can never wait for a
//! window.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ringfence_model::OriginalDst;

use crate::limits::{FOLD_AFTER, FOLD_KEYS, FOLD_WINDOW};
use crate::record::{Record, Recorder};

/// What makes two denials of one workload identical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Alike {
    /// Where it was going.
    pub(crate) original: Option<OriginalDst>,
    /// Source port of a datagram; 0 where every attempt has a new one.
    pub(crate) source_port: u16,
    /// `tcp`, `udp`, `dns`, `http`.
    pub(crate) protocol: &'static str,
}

/// The denials of one compartment.
pub(crate) struct Denials {
    recorder: Arc<Recorder>,
    hasher: RandomState,
    window: Mutex<Window>,
}

struct Window {
    since: Instant,
    seen: HashMap<(Alike, u64), Seen>,
}

struct Seen {
    count: u64,
    /// The first of those beyond [`FOLD_AFTER`], its `count` growing.
    folded: Option<Record>,
}

impl Denials {
    /// None yet.
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        let window = Window {
            since: Instant::now(),
            seen: HashMap::new(),
        };
        Self {
            recorder,
            hasher: RandomState::new(),
            window: Mutex::new(window),
        }
    }

    /// Records a denial, now or folded. `text` (operation and reason, say) is part of what makes it identical to
    /// another; `flow` is only called for a denial that is written as it is.
    pub(crate) fn note(&self, alike: Alike, text: impl Hash, flow: impl FnOnce() -> Record) {
        let key = (alike, self.hasher.hash_one(text));
        let mut window = self.window();
        if window.since.elapsed() >= FOLD_WINDOW
            || (window.seen.len() >= FOLD_KEYS && !window.seen.contains_key(&key))
        {
            self.end(&mut window);
        }
        let seen = window.seen.entry(key).or_insert(Seen {
            count: 0,
            folded: None,
        });
        seen.count += 1;
        if seen.count <= FOLD_AFTER {
            drop(window);
            self.write(&flow());
            return;
        }
        match &mut seen.folded {
            Some(folded) => folded.count += 1,
            None => {
                let mut flow = flow();
                flow.connection.clear();
                seen.folded = Some(flow);
            }
        }
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
            if let Some(folded) = seen.folded {
                self.write(&folded);
            }
        }
        window.since = Instant::now();
        if window.seen.capacity() > FOLD_KEYS / 4 {
            window.seen.shrink_to_fit();
        }
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

impl Drop for Denials {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests;
