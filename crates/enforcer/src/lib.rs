//! The data plane: owns the traffic, and no privilege.
//!
//! * **Comes in:** from the node a generation of policy and links to launchers; from launchers sockets that were
//!   born inside compartments; through those whatever workloads say.
//! * **Goes out:** connections between compartments and to declared endpoints, exactly as policy allows; a record of
//!   every attempt.
//! * **Never:** enters a namespace, believes a workload about who it is, moves a byte before its record is in the
//!   log, passes what it cannot read.
//!
//! Start reading at [`serve`], then `adopted.rs` for a compartment and `connection.rs` for the one way through: who
//! (the door), where, may they meet (`judge.rs`), what do they say (`http/`, `http2/`), record (`record.rs`, counted in `meters.rs`), far side
//! (`far.rs`), relay (`relay.rs`, `datagrams/`). All bounds are in `limits.rs` and `docs/limits.md`.
#![forbid(unsafe_code)]

mod adopted;
mod assignment;
mod attempts;
mod cause;
mod clock;
mod closing;
mod compartment;
mod connection;
mod control;
mod conversation;
mod datagrams;
mod door;
mod endpoint;
mod far;
mod fields;
mod fold;
#[doc(hidden)]
pub mod fuzz;
mod guests;
mod handover;
mod http;
mod http2;
mod inbound;
mod inforce;
mod inward;
mod judge;
mod limits;
mod link;
mod live;
mod loads;
mod memory;
mod meters;
mod node;
mod quarantine;
mod rate;
mod record;
mod redact;
mod registry;
mod relay;
mod request;
mod serve;
mod slots;
mod splice;
#[cfg(test)]
mod testing;
mod turns;
mod upstream;
mod vigil;
mod watch;
mod whole;

pub use assignment::{Assignment, SYSTEM_ANCHORS};
pub use node::connections_within;
pub use serve::{EnforcerError, serve};
