//! Group commit: who waits for the disk waits together.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::writer::Writer;
use crate::{LogError, Seq};

/// How far the disk has come.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The round that begins next: whoever comes before it begins is in it.
    next: Arc<Round>,
    /// Someone is at it.
    busy: bool,
    lost: Option<Lost>,
}

/// One writing back, for all who are in it. Unset: it has not ended.
#[derive(Debug, Default)]
struct Round(OnceLock<Outcome>);

#[derive(Clone, Debug)]
enum Outcome {
    /// The disk has all records but those that it lost before.
    Kept(Option<Lost>),
    Failed(Lost),
}

/// The disk failed. It says so once, and takes the pages for written from then on: no later round is a word for records that were
/// there by then.
#[derive(Clone, Debug)]
struct Lost {
    below: Seq,
    kind: io::ErrorKind,
    what: String,
}

impl Outcome {
    fn of(&self, seq: Seq) -> Result<(), LogError> {
        match self {
            Outcome::Kept(Some(lost)) if seq < lost.below => Err(lost.error()),
            Outcome::Kept(_) => Ok(()),
            Outcome::Failed(lost) => Err(lost.error()),
        }
    }
}

impl Lost {
    fn error(&self) -> LogError {
        LogError::Io(io::Error::new(self.kind, self.what.clone()))
    }
}

impl Disk {
    /// Waits until record `seq` is on the disk.
    pub(crate) fn keep(&self, seq: Seq, writer: &Mutex<Writer>) -> Result<(), LogError> {
        let mut state = self.state();
        let round = state.next.clone();
        loop {
            if let Some(outcome) = round.0.get() {
                return outcome.of(seq);
            }
            if state.busy {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // Nobody has begun this round: it is the next.
            state.busy = true;
            state.next = Arc::default();
            let lost = state.lost.clone();
            drop(state);
            // Records are taken meanwhile, for the round after it.
            let unwritten = lock(writer).unwritten();
            let outcome = match unwritten.write_back() {
                Ok(()) => {
                    lock(writer).keeps(&unwritten);
                    Outcome::Kept(lost)
                }
                Err(error) => {
                    let (kind, what) = (error.kind(), error.to_string());
                    let below = lock(writer).fail(error, unwritten);
                    Outcome::Failed(Lost { below, kind, what })
                }
            };
            state = self.state();
            state.busy = false;
            if let Outcome::Failed(lost) = &outcome {
                state.lost = Some(lost.clone());
            }
            // Only who began it ends it.
            let _first = round.0.set(outcome);
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}
