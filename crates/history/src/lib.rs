//! The flow log as a whole: what has been sealed, and then what has not been.
//!
//! What comes in: the directory of a log, of a node that runs or has stopped, or a copy of it. What goes out: which records are where
//! ([`History`]), those that are not sealed one by one, and sums over all of them ([`History::groups`]) that are made column by
//! column. What this crate never does: write, lock, or keep more in memory than one row group and the sums.
//!
//! Start reading at [`History::open`].
#![forbid(unsafe_code)]

mod error;
mod groups;
mod open;

pub use error::HistoryError;
pub use groups::{GROUP_KEYS_MAX, Span, Sums};
pub use open::{History, SEALED, Sealed};
