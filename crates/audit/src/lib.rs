//! The flow log: an append-only file that keeps what workloads tried.
//!
//! What comes in: [`Flow`](ringfence_model::flow::Flow) records. What goes out: a sequence number, once the record
//! is out of this process's memory; and, to readers, the records again. An attempt that the log cannot take must
//! not happen: every error of [`Log::record`] means *deny*. What this crate never does: decide, drop, reorder,
//! or change a record that it has acknowledged.
//!
//! First form: one file, `flows.binpb`, a standard length-delimited protobuf stream (a varint length, then a
//! `Flow`). A record's sequence number is its position, from 0. The narrow waist is `record(flow) -> seq` and
//! "records from `seq` on"; what lies behind may change without anyone else noticing.
//!
//! Start reading at [`Log`] for the way in, at [`Reader`] for the way out, at `scan.rs` for the bytes.
#![forbid(unsafe_code)]

mod error;
mod frame;
mod gap;
mod log;
mod open;
mod reader;
mod room;
mod scan;
mod shape;
mod writer;

pub use error::LogError;
pub use frame::RECORD_MAX;
pub use log::Log;
pub use open::{FILE_NAME, Repair};
pub use reader::{Mark, Reader, Wait};

/// Position of a record in the log, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
