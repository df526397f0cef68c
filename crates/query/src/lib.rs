//! SQL over the flow log: sealed files and the records after them as one table, `flows`.
//!
//! What comes in: the directory of a log and the text of a query. What goes out: rows, as they are found, to a writer. What this
//! crate never does: run inside a node, change anything, read any file but the log's, or take more memory than it was given.
//!
//! It has a binary of its own, `ringfence-query`, which `ringfence audit sql` starts: the engine takes long to build, and
//! no part of a node needs it.
//!
//! Start reading at `table.rs` for what is asked, at `session.rs` and `confine.rs` for how far a query may go.
#![forbid(unsafe_code)]

mod confine;
mod error;
mod hot;
mod output;
mod sealed;
mod session;
mod table;
mod unheard;

pub use confine::{confine, stand_back};
pub use error::QueryError;
pub use output::Format;
pub use session::{Asked, MEMORY_STANDARD, QUESTION_MAX};
