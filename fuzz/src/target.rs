//! One target.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A function that takes any bytes, and panics when they break a promise.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also of its corpus, `corpus/NAME/`, and of its dictionary, `dictionaries/NAME.dict`, if it has one.
    pub name: &'static str,
    /// The promise, in one line.
    pub holds: &'static str,
    /// Longest input, in bytes, that is worth trying.
    pub length_max: usize,
    /// Tries one input.
    pub run: fn(&[u8]),
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    crate::TARGETS
        .iter()
        .chain([&crate::PLANTED])
        .find(|target| target.name == name)
}

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread is code of others breaking down, which is caught and is no find.
pub fn is_contained() -> bool {
    CONTAINED.get() || ringfence_policy::panic_is_contained()
}

/// Runs code of others; `None`: it panicked.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    CONTAINED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    CONTAINED.set(false);
    outcome.ok()
}
