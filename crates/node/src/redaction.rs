//! What an operator asks about the keys of values in the flow log, and what came of it.

use serde::{Deserialize, Serialize};

/// Which keys are to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedactWish {
    /// The lowest number.
    pub first: u64,
    /// The highest number.
    pub last: u64,
    /// Only keys that were not used at this time (nanoseconds since 1970) or later.
    pub before_ns: Option<u64>,
    /// Why, for the record. Control characters are replaced.
    pub reason: String,
    /// Nothing is to be done: only to be told what would be.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redacted {
    /// How many keys are deleted, or would be.
    pub keys: u64,
    /// The lowest of their numbers.
    pub first: Option<u64>,
    /// The highest of their numbers.
    pub last: Option<u64>,
    /// Nothing was done.
    pub dry_run: bool,
    /// Why not all that were meant are deleted, if so.
    pub trouble: Option<String>,
}
