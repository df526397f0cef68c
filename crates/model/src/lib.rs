//! The nouns of Ringfence, shared by every other crate.
//!
//! What comes in: the text of resource files, bytes of a request target. What goes out: checked values
//! ([`Name`], [`WorkloadId`], [`CanonicalPath`], [`Estate`], [`flow::Flow`]). Nothing here decides, and nothing
//! here touches the network.
//!
//! Start reading at [`resource`] for what people write, at [`load`] for how their files become that, and at [`flow`] for what Ringfence records.

#![forbid(unsafe_code)]

mod address;
mod attest;
mod diagnostic;
pub mod flow;
mod flow_json;
mod grpc;
pub mod limits;
pub mod load;
mod name;
pub mod operation;
pub mod path;
pub mod resource;
pub mod suggest;
pub mod text;
mod workload;

pub use address::{OriginalDst, VirtualAddr};
pub use attest::{NotADigest, NotAUnit, Sha256Digest, UnitName};
pub use diagnostic::{Diagnostic, Diagnostics, Position};
pub use flow_json::{
    FLOW_LINE_MAX, FLOW_SCHEMA, FlowError, FlowRecord, Outcome, RecordKind, Side, UNITEMISED,
};
pub use grpc::{GRPC_CALL_MAX, GRPC_METHOD, GrpcCall, NotACall};
pub use limits::{Limits, Memory, NotMemory};
pub use name::{HOST_NAME_MAX, HostName, NAME_MAX, Name, NameError};
pub use path::CanonicalPath;
pub use resource::Estate;
pub use workload::{Generation, InstanceId, Kind, Protocol, WorkloadId};
