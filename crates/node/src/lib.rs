//! The supervisor of one host: what runs as `ringfence up`.
//!
//! What comes in: a directory of resource files, launchers on `run.sock`, operators on `admin.sock`, monitors, signals. What
//! goes out: generations and adopted launchers to the enforcer, instances to launchers, the node's status.
//!
//! It never touches a workload's traffic and never reads a byte that one sent: that is the enforcer, its child, which
//! it starts, watches and starts again. It decides who may be whom, and which version of policy is in force.
//!
//! ```text
//!  node ──▶ state, lock, format            one node at a time on one directory, and who may read it
//!       ──▶ takeover                       the other one asked to hand over, once this one is sure to serve
//!       ──▶ counters, addresses, persist   what outlives a node, on the disk
//!       ──▶ generation ──▶ pem, scan, unrest   files become a generation, or a list of errors
//!       ──▶ supervisor                     one task with all the state; everything else sends it inputs:
//!             watch · run_socket · admin · scrape · enforcer
//!  claim ◀── unit, vouch, program        who may be whom, and what the kernel says about who asks
//!  check                                  whether machine and node are well
//! ```
//!
//! Start reading at [`up`], then at `supervisor.rs`. Policy that is not acceptable never replaces policy that is: what
//! is in force stays until an enforcer has taken something better whole.

#![forbid(unsafe_code)]

mod addresses;
mod admin;
mod bounds;
mod cgroup;
pub mod check;
mod claim;
pub mod containment;
mod counters;
pub mod drill;
mod enclosing;
mod enforcer;
mod error;
mod evidence;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod generation;
mod ids;
mod instances;
pub mod limits;
mod lock;
mod manager;
mod metrics;
mod node;
mod packets;
mod pem;
mod persist;
mod porter;
mod process;
mod program;
pub mod quarantine;
mod redaction;
mod refusals;
mod rehearse;
mod run_socket;
mod say;
mod scan;
mod scrape;
mod sealing;
mod state;
pub mod status;
mod supervisor;
mod sweep;
mod takeover;
mod told;
mod unit;
mod unrest;
mod vouch;
mod watch;

pub use addresses::Addresses;
pub use admin::{Drill, Request, ask_pruning, ask_redaction, ask_status, begin_drill};
pub use error::NodeError;
pub use generation::{Configuration, Origin, Taken, last_configuration, last_generation};
pub use node::{UpOptions, up};
pub use program::digest;
pub use redaction::{RedactWish, Redacted};
pub use rehearse::{Enforced, Rehearsal, rehearse};
pub use scrape::{Loopback, NotLoopback};
pub use sealing::PruneWish;
pub use state::default_dir;
