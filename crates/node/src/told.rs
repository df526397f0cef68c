//! How far a thread of the node has come with the log, and what keeps it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::say::warn;

/// Shared between the thread that comes on, and who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    upto: Option<u64>,
    trouble: Option<String>,
}

impl Told {
    /// Records that it is done with; `None`: nothing is known yet.
    pub(crate) fn upto(&self) -> Option<u64> {
        self.state().upto
    }

    /// Why it does not go on, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// It is well, and done with the records before `upto`. Says `again` if it was not well before.
    pub(crate) fn is_well(&self, upto: Option<u64>, again: &str) {
        let mut state = self.state();
        state.upto = upto.or(state.upto);
        if state.trouble.take().is_some() {
            warn(again);
        }
    }

    /// It does not go on. Said as `words` say it, once.
    pub(crate) fn has_trouble(&self, trouble: String, words: impl Fn(&str) -> String) {
        let mut state = self.state();
        if state.trouble.as_ref() != Some(&trouble) {
            warn(&words(&trouble));
            state.trouble = Some(trouble);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
