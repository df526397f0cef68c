//! How a node stands, as `ringfence status` shows it.

use std::path::PathBuf;

use ringfence_model::{Generation, HostName, InstanceId, Kind, Name};
use serde::{Deserialize, Serialize};

use crate::generation::Origin;

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
    /// What is in force.
    pub policy: Policy,
    /// The part that enforces it.
    pub enforcer: EnforcerStatus,
    /// The flow log.
    pub log: LogStatus,
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
    /// Its process id, while there is one.
    pub pid: Option<u32>,
    /// Whether a generation is in force in it.
    pub serving: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// How the last one ended.
    pub last_end: Option<String>,
    /// Live connections.
    pub connections: u64,
}

/// The flow log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// Sequence number of the next record; `null` while no enforcer says.
    pub head: Option<u64>,
    /// Why it takes nothing, if so.
    pub trouble: Option<String>,
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
    /// Process id of its launcher.
    pub pid: u32,
    /// The program, and how many arguments it has.
    pub command: String,
    /// Since when.
    pub since: jiff::Timestamp,
    /// Whether the enforcer watches its doors.
    pub armed: bool,
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
