//! The nouns of Ringfence, shared by every other crate.
//!
//! What comes in: the text of resource files, bytes of a request target. What goes out: checked values
//! ([`Name`], [`WorkloadId`], [`CanonicalPath`], [`Estate`], [`flow::Flow`]). Nothing here decides, and nothing
//! here touches the network.
//!
//! Start reading at [`resource`] for what people write, and at [`flow`] for what Ringfence records.

mod address;
mod diagnostic;
pub mod flow;
mod name;
pub mod path;
pub mod resource;

pub use address::{OriginalDst, VirtualAddr};
pub use diagnostic::{Diagnostic, Diagnostics, Position};
pub use name::{HostName, Name, NameError};
pub use path::CanonicalPath;
pub use resource::Estate;
pub use workload::{Generation, InstanceId, Kind, Protocol, WorkloadId};

mod workload;
