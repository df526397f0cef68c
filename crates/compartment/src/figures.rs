//! What an enforcer has counted since it started, as it tells its node.
//!
//! Numbers and fixed words only. Nothing here names a workload: what a workload chooses must not become a label, or
//! it could make a monitor keep a series for each of its whims.

use serde::{Deserialize, Serialize};

/// Upper bounds of the buckets of every [`Timing`], in nanoseconds; one more bucket takes the rest.
pub const BOUNDS_NS: [u64; 18] = [
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    50_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Attempts on record, each combination that occurred.
    pub decisions: Vec<Decisions>,
    /// Connections, by protocol.
    pub connections: Vec<Connections>,
    /// Payload bytes relayed towards services.
    pub bytes_sent: u64,
    /// Payload bytes relayed towards callers.
    pub bytes_received: u64,
    /// DNS queries by what became of them.
    pub dns: Vec<(String, u64)>,
    /// Attempts denied because the log did not take their record.
    pub unrecorded_denied: u64,
    /// Records of what had happened already (denials, closes) that the log did not take.
    pub unrecorded_after: u64,
    /// Time that decisions took.
    pub decide: Timing,
    /// Time that the log took for a record.
    pub append: Timing,
    /// From the last byte of a request's head to the first byte sent on to the service, a dial included.
    pub delay: Timing,
}

/// How often something was decided in one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// `connection`, `operation`, `wall`: the kind of record.
    pub kind: String,
    /// `http`, `tcp`, `udp`, `dns`, `other`.
    pub protocol: String,
    /// `allow`, `deny`, `would-deny`, `error`.
    pub outcome: String,
    /// A fixed word.
    pub reason: String,
    /// Attempts, folded ones each counted.
    pub count: u64,
}

/// Connections of one protocol that were let in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// `http`, `tcp`, `udp`, `dns`, `other`.
    pub protocol: String,
    /// Since the enforcer started.
    pub opened: u64,
    /// Of these, ended.
    pub closed: u64,
}

/// A histogram of durations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// Not cumulative; one per bound of [`BOUNDS_NS`], then the rest. Empty: nothing was measured.
    pub buckets: Vec<u64>,
    /// Of all of them, in nanoseconds.
    pub sum_ns: u64,
}

impl Timing {
    /// How many durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// One armed compartment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Which.
    pub instance: ringfence_model::InstanceId,
    /// Its live connections, both ways.
    pub connections: u64,
    /// What its launcher said of it. Told once per enforcer; `None` ever after.
    #[serde(default)]
    pub said: Option<Said>,
}

/// What a launcher says of the compartment it built. Its words, not ours: bounded, without control characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Said {
    /// Version of its binary; empty when it said none.
    pub version: String,
    /// The walls that stand.
    pub walls: Vec<String>,
    /// What is not bounded, or not recorded.
    pub unbounded: Vec<String>,
}
