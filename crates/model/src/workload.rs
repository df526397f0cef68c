//! Who takes part: workloads, their instances, and the generation of policy they live under.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Name;

/// What a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Software that can be steered by its input.
    Agent,
    /// Software that agents and services call.
    Service,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Agent => "agent",
            Kind::Service => "service",
        })
    }
}

/// A workload within a zone. Names are unique across agents and services, so the name alone identifies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadId {
    /// Agent or service.
    pub kind: Kind,
    /// The name in its resource.
    pub name: Name,
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// One running copy of a workload. Never reused within a state directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub Arc<str>);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts the accepted versions of policy on a node. Grows by one with each, across restarts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a workload speaks on its declared port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1; operations are `METHOD /path`.
    Http,
    /// HTTP/2 with prior knowledge; operations are `METHOD /path`.
    Http2,
    /// gRPC; operations are `package.Service/Method`.
    Grpc,
    /// TLS that the workloads bring themselves, told apart by server name; the one operation is `connect`.
    Tls,
    /// Opaque bytes; the one operation is `connect`.
    Tcp,
    /// Datagrams; the one operation is `send`.
    Udp,
}

impl Protocol {
    /// All there are, in the order in which people are shown them.
    pub const ALL: [Self; 6] = [
        Self::Http,
        Self::Http2,
        Self::Grpc,
        Self::Tls,
        Self::Tcp,
        Self::Udp,
    ];

    /// As resources, records and counters write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// What an operation of it looks like, for people who wrote another one.
    pub fn operations(self) -> &'static str {
        match self {
            Self::Http | Self::Http2 => "whose operations are METHOD /path",
            Self::Grpc => "whose operations are package.Service/Method",
            Self::Tls | Self::Tcp => "whose one operation is connect",
            Self::Udp => "whose one operation is send",
        }
    }

    /// Whether each request is decided by itself, so that being connected does nothing yet.
    pub fn has_requests(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
