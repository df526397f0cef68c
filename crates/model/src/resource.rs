//! What people write: services, agents, policies, guardrails, tests, after every check that needs no other resource.
//!
//! These are the checked forms; how YAML becomes them is in the loader. They travel as JSON from the node to its
//! enforcer, so all of them serialise.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub use crate::attest::Attest;
use crate::{HostName, Limits, Name, Position, Protocol, WorkloadId};

/// All resources of a zone that load together: one generation, before compilation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estate {
    /// Sorted by name.
    pub services: Vec<Service>,
    /// Sorted by name.
    pub agents: Vec<Agent>,
    /// Sorted by name. At most one per workload.
    pub policies: Vec<Policy>,
    /// Sorted by name.
    #[serde(default)]
    pub guardrails: Vec<Guardrail>,
    /// Sorted by name.
    #[serde(default)]
    pub tests: Vec<Test>,
}

/// Words that people attach to a workload, for conditions to ask after.
pub type Labels = BTreeMap<String, String>;

/// Something that is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Unique across agents and services.
    pub name: Name,
    /// For conditions: `source.labels`, `destination.labels`.
    #[serde(default)]
    pub labels: Labels,
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
    /// What of its requests may be read in the flow log.
    #[serde(default)]
    pub record: Recorded,
    /// Where it really is, when it does not run in a compartment. Tried in order.
    pub endpoints: Vec<Endpoint>,
    /// Why an endpoint may lack mutual authentication, and until when.
    pub mutual_auth: Option<Exemption>,
    /// Who may call it. `None`: whoever's policy names it.
    pub receive: Option<Vec<Entry>>,
    /// Who may claim to be it.
    pub attest: Option<Attest>,
    /// How much of its host it may take.
    #[serde(default)]
    pub limits: Limits,
    /// Where it stands.
    pub at: Position,
}

/// Values of requests that may be read in the flow log: those of these names. All others stand there as HMACs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Names of fields, in lower case.
    pub headers: Vec<String>,
    /// Names of parameters.
    pub query: Vec<String>,
}

/// Something that can be steered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Unique across agents and services.
    pub name: Name,
    /// For conditions: `source.labels`, `destination.labels`.
    #[serde(default)]
    pub labels: Labels,
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
    /// How much of its host it may take.
    #[serde(default)]
    pub limits: Limits,
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
    /// What of its requests may be read in the flow log.
    #[serde(default)]
    pub record: Recorded,
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
    /// What becomes of its refusals.
    #[serde(default)]
    pub mode: Mode,
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

/// What becomes of the refusals of one policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mode {
    /// As written.
    pub kind: ModeKind,
    /// Last day (UTC) of `learn` and `shadow`. Without it, and outside of [`Mode::DAYS_MAX`], they enforce.
    pub until: Option<Date>,
    /// Where `mode` stands; the policy's own place where it is left out.
    pub at: Position,
}

/// The three modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeKind {
    /// Refusals refuse.
    #[default]
    Enforce,
    /// Refusals are recorded as `would-deny` and pass; policy is to be proposed from what is seen.
    Learn,
    /// Refusals are recorded as `would-deny` and pass; policy stands and is tried.
    Shadow,
}

impl ModeKind {
    /// As resource files and records write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Learn => "learn",
            Self::Shadow => "shadow",
        }
    }
}

impl Mode {
    /// Longest time that `learn` or `shadow` soften anything, in days: from this long before [`Mode::until`] to its end.
    pub const DAYS_MAX: i32 = 30;

    /// The days (UTC, both included) on which refusals are softened; `None`: on none.
    pub fn window(&self) -> Option<(Date, Date)> {
        let until = self.until.filter(|_| self.kind != ModeKind::Enforce)?;
        let first = until
            .checked_sub(jiff::Span::new().days(Self::DAYS_MAX))
            .unwrap_or(Date::MIN);
        Some((first, until))
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
    /// As written: `GET /customers/*`, `connect`, `send`.
    pub text: String,
    /// What must be true beside.
    #[serde(default)]
    pub when: Option<Condition>,
    /// Last day (UTC) on which it holds. The day after, it matches nothing.
    #[serde(default)]
    pub until: Option<Date>,
    /// Where it stands.
    pub at: Position,
}

impl OperationPattern {
    /// A rule without condition or end.
    pub fn plain(text: impl Into<String>, at: Position) -> Self {
        Self {
            text: text.into(),
            when: None,
            until: None,
            at,
        }
    }
}

/// A condition in CEL, as written. Whether it can be compiled is known when policy is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The expression.
    pub text: String,
    /// Where it stands.
    pub at: Position,
}

/// What nobody may do, whatever policies say. Only narrows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guardrail {
    /// Unique across guardrails.
    pub name: Name,
    /// Who answers for it.
    pub owner: String,
    /// Why it is there.
    pub reason: String,
    /// Initiators it is about.
    pub from: Selector,
    /// Receivers it is about.
    pub to: Selector,
    /// Whether `operations` are forbidden, or all others.
    pub forbids: Forbids,
    /// Texts only: they have no condition and no end of their own.
    pub operations: Vec<OperationPattern>,
    /// It forbids only while this is true; an error forbids as well.
    pub when: Option<Condition>,
    /// Where it stands.
    pub at: Position,
}

/// Which side of a [`Guardrail`]'s list is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forbids {
    /// `deny`: what is listed.
    Listed,
    /// `only`: what is not listed.
    Others,
}

/// Some workloads, or all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selector {
    /// `*`
    All,
    /// These.
    Names(Vec<Name>),
}

/// `kind: Test`: claims about the estate that belong to no single policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Unique across tests.
    pub name: Name,
    /// Each must hold.
    pub cases: Vec<TestCase>,
    /// So must each of these.
    #[serde(default)]
    pub reaches: Vec<ReachCase>,
    /// Where it stands.
    pub at: Position,
}

/// A claim about what one workload can reach, directly and through others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReachCase {
    /// Who was taken over.
    pub from: Name,
    /// Who is to be reached, or not.
    pub to: Name,
    /// Whether it must be reachable.
    pub reachable: bool,
    /// Most connections on the way; `None`: any number.
    pub hops: Option<u32>,
    /// Where it stands.
    pub at: Position,
}

impl ReachCase {
    /// Most that `hops` can ask for: no estate is deeper than what its files can hold.
    pub const HOPS_MAX: u32 = 10_000;
}

/// One claim of a [`Test`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestCase {
    /// Initiator.
    pub from: Name,
    /// Receiver.
    pub to: Name,
    /// Whether the operation must be allowed.
    pub allow: bool,
    /// A concrete operation.
    pub operation: String,
    /// What conditions see.
    pub with: Option<With>,
    /// Where it stands.
    pub at: Position,
}

/// A context for conditions, as people write it: the fields of `when`'s environment that an operation does not give by itself.
/// Its shape is checked when it is used.
pub type With = serde_json::Map<String, serde_json::Value>;

/// A claim that a policy makes about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyTest {
    /// The other side, and which way.
    pub peer: TestPeer,
    /// Whether the operation must be allowed.
    pub allow: bool,
    /// A concrete operation.
    pub operation: String,
    /// What conditions see.
    #[serde(default)]
    pub with: Option<With>,
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
