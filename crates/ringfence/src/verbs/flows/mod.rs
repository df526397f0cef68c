//! What verbs share that read the flow log: which records are wanted, how a log is read to its end, and followed.

mod filter;
mod log;
pub(crate) mod moment;
mod pick;

pub(crate) use filter::{ColumnFilters, Filters};
pub(crate) use log::{Ahead, copy_failure, failure, follow, read, settle};
pub(crate) use pick::{Pick, Stretch, bounds};

use ringfence_model::FlowRecord;

use crate::output::{Failure, safe_json};

/// A record as one line of JSON, without loss, and without a byte that a terminal would obey.
pub(crate) fn json(record: &FlowRecord) -> Result<String, Failure> {
    let json = serde_json::to_string(record)
        .map_err(|error| Failure::plain(format!("record {}: {error}", record.seq)))?;
    Ok(safe_json(&json).into_owned())
}
