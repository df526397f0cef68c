//! What an operator asks about a workload that is not trusted any more, and what came of it.

use std::path::Path;

pub use ringfence_compartment::link::{Spread, Touched};
use ringfence_model::Name;
use serde::{Deserialize, Serialize};

use crate::admin::{self, Request};
use crate::quarantine::Quarantine;

/// What is wished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Of an agent or service.
    pub name: String,
    /// What is to become of it.
    pub what: What,
    /// Why, for records and for who comes next. Control characters are replaced.
    pub reason: String,
    /// Nothing is to be done: only to be told what would be.
    pub dry_run: bool,
}

/// What is to become of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Both directions are denied.
    Quarantine {
        /// After so many seconds it ends by itself.
        seconds: Option<u64>,
    },
    /// Policy alone decides again.
    Release,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The workload.
    pub name: Name,
    /// `false`: the policy in force does not name it.
    pub known: bool,
    /// Running compartments of it.
    pub instances: usize,
    /// Nothing was done.
    pub dry_run: bool,
    /// The quarantine as it stood before.
    pub before: Option<Quarantine>,
    /// The quarantine as it stands now, or as it would.
    pub now: Option<Quarantine>,
    /// Connections and flows that were cut, or would be; `null`: no enforcer says.
    pub cut: Option<Touched>,
    /// Of these, how many were not closed when this was answered. They pass nothing.
    pub left: u64,
    /// From the enforcer's being told to the end of the last one, in nanoseconds.
    pub took_ns: Option<u64>,
    /// The same of those before it.
    pub spread: Option<Spread>,
    /// Whether the flow log has it; `null`: no enforcer says yet.
    pub recorded: Option<bool>,
    /// Why it is not kept for a restart, if so.
    pub unkept: Option<String>,
    /// Why no enforcer has it yet, if so. Nothing passes until one does.
    pub away: Option<String>,
}

/// Why a wish is not met.
#[derive(Debug, thiserror::Error)]
pub enum Unmet {
    /// No node is running there.
    #[error("no node is running on the state directory")]
    Absent,
    /// The node says no.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
        /// What to do.
        fix: Option<String>,
    },
    /// It cannot be asked, or does not answer.
    #[error("the node cannot be asked: {0}")]
    Io(#[from] std::io::Error),
}

/// Asks the node that serves the state directory `state`.
pub fn contain(state: &Path, wish: Wish) -> Result<Outcome, Unmet> {
    admin::ask_containment(state, &Request::Contain(wish))
}
