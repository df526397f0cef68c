//! Decides. Contract skeleton; the author of this crate replaces the bodies and splits it into files.
#![forbid(unsafe_code)]
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringfence_model::resource::{Agent, Endpoint, Service};
use ringfence_model::{
    CanonicalPath, Diagnostics, Estate, Generation, HostName, Name, OriginalDst, Position,
    Protocol, VirtualAddr, WorkloadId,
};

/// Index of a workload within one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadIx(u32);

/// Stable addresses of all workloads of the zone.
pub type AddressBook = BTreeMap<Name, VirtualAddr>;

/// An immutable compiled estate. Cheap to share (`Arc<Snapshot>`), never changed.
pub struct Snapshot {}

/// What the data plane needs to know of a workload.
pub struct Workload {
    pub id: WorkloadId,
    pub address: VirtualAddr,
    /// What it serves, if anything.
    pub serves: Option<(Protocol, u16)>,
    /// All names it answers to: NAME, NAME.ZONE, hosts. Lower case.
    pub names: Vec<HostName>,
    pub path_allowances: ringfence_model::path::Allowances,
    /// Empty: it runs in a compartment.
    pub endpoints: Vec<Endpoint>,
    pub purpose: Option<String>,
}

/// One concrete operation, borrowed from what a reader parsed.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    Connect,
    Http { method: &'a str, path: &'a CanonicalPath },
}

/// The answer. Only a [`Snapshot`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {/* private: outcome, reason, rule index */}

impl Verdict {
    pub fn is_allowed(&self) -> bool {
        unimplemented!()
    }
}

/// A verdict in words, for the record and for people.
pub struct Explanation {
    pub allowed: bool,
    /// e.g. `no rule of policy customer-service names service payments`
    pub reason: String,
    /// Where the rule stands that decided.
    pub rule: Option<Position>,
    /// The nearest rule and what differs, when denied.
    pub nearest: Option<(Position, String)>,
    /// The policy mode: "enforce".
    pub mode: &'static str,
}

impl Snapshot {
    /// Compiles; runs every policy's own tests; any error rejects the whole.
    pub fn compile(generation: Generation, zone: &HostName, estate: &Estate, addresses: &AddressBook) -> Result<Self, Diagnostics> {
        unimplemented!()
    }
    /// No workloads at all: denies everything.
    pub fn empty() -> Self {
        unimplemented!()
    }
    pub fn generation(&self) -> Generation {
        unimplemented!()
    }
    pub fn find(&self, name: &str) -> Option<WorkloadIx> {
        unimplemented!()
    }
    pub fn workload(&self, ix: WorkloadIx) -> &Workload {
        unimplemented!()
    }
    /// Original destination → workload: virtual address and its declared port, or a declared literal endpoint.
    pub fn route(&self, to: OriginalDst) -> Option<WorkloadIx> {
        unimplemented!()
    }
    /// Name (any case, optional trailing dot) → workload.
    pub fn resolve(&self, name: &str) -> Option<WorkloadIx> {
        unimplemented!()
    }
    pub fn resolve_address(&self, ip: IpAddr) -> Option<WorkloadIx> {
        unimplemented!()
    }
    /// Is there any operation both ends allow? What L4 and DNS ask.
    pub fn may_meet(&self, from: WorkloadIx, to: WorkloadIx, now: jiff::Timestamp) -> Verdict {
        unimplemented!()
    }
    pub fn decide(&self, from: WorkloadIx, to: WorkloadIx, operation: Operation<'_>, now: jiff::Timestamp) -> Verdict {
        unimplemented!()
    }
    /// The same decision in words. `operation: None` explains a `may_meet`.
    pub fn explain(&self, from: WorkloadIx, to: WorkloadIx, operation: Option<Operation<'_>>, now: jiff::Timestamp) -> Explanation {
        unimplemented!()
    }
    /// From texts, as people and `--batch` give them; unknown names and malformed operations are denied with the reason.
    pub fn explain_text(&self, from: &str, to: &str, operation: &str, now: jiff::Timestamp) -> Explanation {
        unimplemented!()
    }
    /// Whether `authority` (Host header, without userinfo) names this workload: one of its names or addresses, with its port or none.
    pub fn authority_names(&self, to: WorkloadIx, authority: &str) -> bool {
        unimplemented!()
    }
}

#[allow(unused)]
fn _uses(_: Agent, _: Service) {}
