//! Records of the flow log as events of the Open Cybersecurity Schema Framework (OCSF), for the systems that read it.
//!
//! What comes in: a record, the bytes it has in the log, and the name of that log. What goes out: one JSON object.
//! Pure: the same record is the same event, wherever and whenever it is made, and nothing is asked of files or policy.
//! What OCSF has no place for stands in `unmapped`, so an event says all that its record says.
//!
//! Start reading at [`table`], which says what becomes what; `docs/ocsf.md` shows it. What a valid event is, tests take
//! from `schema/facts.json`, which `scripts/ocsf-facts` reads from the published schema.
#![forbid(unsafe_code)]

mod event;
mod leaf;
mod object;
mod parts;
pub mod table;

pub use event::event;

/// Version of OCSF that events follow.
pub const OCSF_VERSION: &str = "1.9.0";

/// Version of the mapping, in each event. Counted up whenever an event of the same record would differ.
pub const MAPPING_VERSION: u32 = 2;
