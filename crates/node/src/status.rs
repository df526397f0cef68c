//! How a node stands, as `ringfence status` shows it.

use std::path::PathBuf;

use jiff::civil::Date;
use ringfence_model::resource::ModeKind;
use ringfence_model::{Generation, HostName, InstanceId, Kind, Name};
use serde::{Deserialize, Serialize};

use crate::generation::Origin;
use crate::quarantine::Quarantine;

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Name of the node.
    pub node: String,
    /// Zone it serves.
    pub zone: HostName,
    /// Version of its binary.
    pub version: String,
    /// Process id of the supervisor.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub since: jiff::Timestamp,
    /// Where its state is.
    pub state: PathBuf,
    /// Where its configuration is.
    pub config: PathBuf,
    /// Where monitors ask for metrics: the path of a Unix socket, and a URL when there is a port.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// What is in force.
    pub policy: Policy,
    /// The part that enforces it.
    pub enforcer: EnforcerStatus,
    /// The flow log.
    pub log: LogStatus,
    /// Who is declared in the policy in force, by name.
    #[serde(default)]
    pub estate: Vec<Declared>,
    /// Who is in quarantine: both directions denied, whatever policy says.
    #[serde(default)]
    pub quarantined: Vec<Quarantine>,
    /// Who runs.
    pub workloads: Vec<Workload>,
    /// Facts about this installation that limit what its records prove.
    pub notes: Vec<String>,
    /// Why it is degraded; empty when it is not.
    pub degraded: Vec<Degraded>,
}

/// The generation in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its number; 0 when there is none and everything is denied.
    pub generation: Generation,
    /// Where it comes from.
    pub origin: Origin,
    /// When this node put it in force; `null` before the first.
    #[serde(default)]
    pub since: Option<jiff::Timestamp>,
    /// SHA-256 of what it says, certificates included: equal digests are equal policies.
    #[serde(default)]
    pub digest: String,
    /// Services it declares.
    pub services: usize,
    /// Agents it declares.
    pub agents: usize,
    /// Policies it holds.
    pub policies: usize,
    /// A later configuration that was not taken.
    pub rejected: Option<Rejected>,
}

/// A configuration that was not taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// Since when it is not acceptable.
    pub since: jiff::Timestamp,
    /// Every error, as printed when it was rejected.
    pub errors: Vec<String>,
}

/// The enforcer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnforcerStatus {
    /// In a word.
    #[serde(default)]
    pub state: EnforcerState,
    /// Its process id, while there is one.
    pub pid: Option<u32>,
    /// When it was started, while there is one.
    #[serde(default)]
    pub since: Option<jiff::Timestamp>,
    /// Whether a generation is in force in it.
    pub serving: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// How the last one ended.
    pub last_end: Option<String>,
    /// When that was.
    #[serde(default)]
    pub last_end_at: Option<jiff::Timestamp>,
    /// Live connections.
    pub connections: u64,
}

/// How the enforcer is, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcerState {
    /// It serves.
    Running,
    /// It runs, and serves nothing yet.
    Starting,
    /// It does not answer.
    Hung,
    /// There is none.
    #[default]
    Away,
}

impl EnforcerState {
    /// As status and metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Hung => "hung",
            Self::Away => "away",
        }
    }
}

/// The flow log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// Where it is.
    #[serde(default)]
    pub dir: PathBuf,
    /// Sequence number of the next record; `null` while no enforcer says.
    pub head: Option<u64>,
    /// Bytes of records since the segment that the enforcer opened the log at; `null` while no enforcer says.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Bytes that the disk has already given for records to come; `null` where it cannot, or no enforcer says.
    #[serde(default)]
    pub reserved: Option<u64>,
    /// Bytes free on its file system for those who are not root; `null` when the system does not say.
    #[serde(default)]
    pub free: Option<u64>,
    /// Why it takes nothing, if so.
    pub trouble: Option<String>,
    /// The numbers of records that its disk did not keep and memory had no more, since the enforcer was started, if any are.
    #[serde(default)]
    pub lost: Option<String>,
    /// Where a record is before what it describes happens: `memory` or `disk`; empty where the node is too old to say.
    #[serde(default)]
    pub durability: String,
    /// Records that the latest checkpoint counts; `null` while there is none.
    #[serde(default)]
    pub signed: Option<u64>,
    /// Why no more of it is signed, if so.
    #[serde(default)]
    pub unsigned: Option<String>,
    /// Records before this one are sealed; `null` while nothing is known.
    #[serde(default)]
    pub sealed: Option<u64>,
    /// Why no more of it is sealed, if so.
    #[serde(default)]
    pub unsealed: Option<String>,
}

/// An agent or service of the policy in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// Agent or service.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// Running compartments of it.
    pub instances: usize,
    /// It runs elsewhere, at declared endpoints.
    pub endpoints: bool,
    /// What its own policy does with refusals today; `null`: no policy is about it.
    pub mode: Option<ModeKind>,
    /// Last day (UTC) of `learn` and `shadow`.
    pub mode_until: Option<Date>,
    /// When its policy is due to be read again.
    pub review_by: Option<Date>,
    /// That day is over.
    pub review_overdue: bool,
    /// It is in quarantine.
    #[serde(default)]
    pub quarantined: bool,
}

/// One running compartment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Its instance.
    pub instance: InstanceId,
    /// Agent or service.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// User that started it.
    pub uid: u32,
    /// User that its processes have outside.
    #[serde(default)]
    pub compartment_uid: u32,
    /// Process id of its launcher.
    pub pid: u32,
    /// The program, and how many arguments it has.
    pub command: String,
    /// Since when.
    pub since: jiff::Timestamp,
    /// What its claim was held to, in words.
    #[serde(default)]
    pub checked: String,
    /// Whether the enforcer watches its doors.
    pub armed: bool,
    /// Live connections, both ways.
    #[serde(default)]
    pub connections: u64,
    /// Version of its launcher; empty while it has not said.
    #[serde(default)]
    pub version: String,
    /// The walls that stand, as its launcher says.
    #[serde(default)]
    pub walls: Vec<String>,
    /// What is not bounded, or not recorded, as its launcher says.
    #[serde(default)]
    pub unbounded: Vec<String>,
    /// Whether its launcher is connected to the node.
    pub connected: bool,
    /// Whether the policy in force knows it. Everything it tries is denied otherwise.
    pub known: bool,
}

/// One reason for being degraded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Degraded {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

impl Degraded {
    /// A reason with its fix.
    pub fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            fix: fix.into(),
        }
    }
}
