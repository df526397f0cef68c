//! The flow log as a whole: what has been sealed, and then what has not been.
//!
//! What comes in: the directory of a log, of a node that runs or has stopped, or a copy of it. What goes out: its records one by
//! one, wherever they are ([`Records`]); which are where ([`History`]), and what they say in some columns, and add up to
//! ([`History::fold`]), which is read column by column; all of it for whoever verifies ([`feed`]). The node alone seals ([`Sealing`]) and prunes ([`prune`]).
//! What this crate never does: lock, or keep more in memory than a few row groups and the sums.
//!
//! Start reading at [`Records`].
#![forbid(unsafe_code)]

mod error;
mod groups;
mod numbering;
mod open;
mod place;
mod prune;
mod records;
mod seal;
mod sums;
mod verify;

pub use error::{HistoryError, OWNERS_ONLY};
pub use groups::{Asked, GROUP_KEYS_MAX, Group};
pub use open::{History, Sealed};
pub use place::SEALED;
pub use prune::{Keep, Pruned, prunable, prune};
pub use records::{Mark, Records};
pub use seal::{SealError, Sealing};
pub use sums::{Span, Sums};
pub use verify::feed;
