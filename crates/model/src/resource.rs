//! What people write: services, agents, policies, after every check that needs no other resource.
//!
//! These are the checked forms; how YAML becomes them is in the loader. They travel as JSON from the node to its
//! enforcer, so all of them serialise.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{HostName, Name, Position, Protocol, WorkloadId};

/// All resources of a zone that load together: one generation, before compilation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estate {
    /// Sorted by name.
    pub services: Vec<Service>,
    /// Sorted by name.
    pub agents: Vec<Agent>,
    /// Sorted by name. At most one per workload.
    pub policies: Vec<Policy>,
}

/// Something that is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Unique across agents and services.
    pub name: Name,
    /// Spoken on `port`.
    pub protocol: Protocol,
    /// The one port that exists on it.
    pub port: u16,
    /// Names it answers to besides `NAME` and `NAME.ZONE`.
    pub hosts: Vec<HostName>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Path forms it accepts that are refused otherwise.
    pub path_allowances: crate::path::Allowances,
    /// Where it really is, when it does not run in a compartment. Tried in order.
    pub endpoints: Vec<Endpoint>,
    /// Why an endpoint may lack mutual authentication, and until when.
    pub mutual_auth: Option<Exemption>,
    /// Who may call it. `None`: whoever's policy names it.
    pub receive: Option<Vec<Entry>>,
    /// Who may claim to be it.
    pub attest: Option<Attest>,
    /// Where it stands.
    pub at: Position,
}

/// Something that can be steered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Unique across agents and services.
    pub name: Name,
    /// What it is for, in words.
    pub purpose: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it serves, when others call it.
    pub serves: Option<Serves>,
    /// Names it answers to besides `NAME` and `NAME.ZONE`.
    pub hosts: Vec<HostName>,
    /// Who may claim to be it.
    pub attest: Option<Attest>,
    /// Where it stands.
    pub at: Position,
}

/// What an agent offers to others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Serves {
    /// Spoken on `port`.
    pub protocol: Protocol,
    /// The one port that exists on it.
    pub port: u16,
    /// Path forms it accepts that are refused otherwise.
    pub path_allowances: crate::path::Allowances,
}

/// What must be true of a process that claims a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attest {
    /// The user that calls `run`.
    pub uid: u32,
}

/// A real address of a service outside compartments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Host name, or an IP address in text.
    pub host: EndpointHost,
    /// Port.
    pub port: u16,
    /// TLS towards it. `None`: plain text, which needs an [`Exemption`].
    pub tls: Option<EndpointTls>,
    /// Where it stands.
    pub at: Position,
}

/// Host part of an endpoint's address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointHost {
    /// Resolved by the enforcer.
    Name(HostName),
    /// Dialled as it is.
    Ip(std::net::IpAddr),
}

impl Endpoint {
    /// The address a workload may name directly, when the endpoint is a literal.
    pub fn literal(&self) -> Option<SocketAddr> {
        match self.host {
            EndpointHost::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            EndpointHost::Name(_) => None,
        }
    }
}

/// How the enforcer authenticates an endpoint, and itself to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointTls {
    /// Trust anchors.
    pub ca: TrustAnchors,
    /// Name the certificate must carry; also sent as SNI and as the HTTP authority.
    pub name: HostName,
    /// Our certificate and key, for mutual TLS.
    pub client_cert: Option<ClientCert>,
}

/// Where trust anchors come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustAnchors {
    /// The host's bundle.
    System,
    /// A PEM file.
    File(PathBuf),
}

/// PEM files of a client certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientCert {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    /// PKCS #8, SEC1 or PKCS #1 key.
    pub key: PathBuf,
}

/// Permission to go without something, with a reason and an end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exemption {
    /// Why.
    pub reason: String,
    /// Last day (UTC) on which it holds. The day after, it denies.
    pub until: Date,
    /// Where it stands.
    pub at: Position,
}

/// What one workload may initiate and receive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Unique across policies.
    pub name: Name,
    /// Whom it is about.
    pub subject: WorkloadId,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When it is due to be read again.
    pub review_by: Option<Date>,
    /// What the subject may start.
    pub initiate: Vec<Entry>,
    /// What the subject takes from others. `None`: no such list. For an agent that is the same as an empty one; a service
    /// without any list takes whoever's policy names it, one with an empty list takes nobody.
    pub receive: Option<Vec<Entry>>,
    /// What must hold, checked at every load.
    pub tests: Vec<PolicyTest>,
    /// Paths the subject sees beyond the built root.
    pub filesystem: Filesystem,
    /// Where it stands.
    pub at: Position,
}

impl Policy {
    /// That its review is overdue on the day `today`, in words. It stays in force.
    pub fn overdue(&self, today: Date) -> Option<String> {
        let due = self.review_by.filter(|due| *due < today)?;
        Some(format!(
            "{}: the review of policy {} was due on {due}; read it again and move `reviewBy`",
            self.at, self.name
        ))
    }
}

/// One peer, and the operations agreed with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The other side.
    pub peer: WorkloadId,
    /// A set: any match allows.
    pub operations: Vec<OperationPattern>,
    /// Where it stands.
    pub at: Position,
}

/// An operation as a rule writes it, already known to parse for the protocol it is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationPattern {
    /// As written: `GET /customers/*`, `connect`.
    pub text: String,
    /// Where it stands.
    pub at: Position,
}

/// A claim that a policy makes about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyTest {
    /// The other side, and which way.
    pub peer: TestPeer,
    /// Whether the operation must be allowed.
    pub allow: bool,
    /// A concrete operation.
    pub operation: String,
    /// Where it stands.
    pub at: Position,
}

/// Direction of a [`PolicyTest`], seen from the policy's subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestPeer {
    /// The subject calls it.
    To(Name),
    /// It calls the subject.
    From(Name),
}

/// Host paths a workload sees beyond the built root, at the same place. Absolute, canonical in form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Seen read-only.
    pub read: Vec<PathBuf>,
    /// Seen writable.
    pub write: Vec<PathBuf>,
    /// Whether trees that hold sockets or FIFOs are acceptable.
    pub sockets: bool,
}
