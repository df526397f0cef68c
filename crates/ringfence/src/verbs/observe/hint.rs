//! The command that would explain a denial.

use std::path::{Path, PathBuf};

use ringfence_model::{FlowRecord, Outcome, RecordKind, UNITEMISED};

use crate::shell;
use crate::verbs::configuration;

/// Makes commands to paste, when they are wanted.
pub(super) struct Hints {
    wanted: bool,
    /// State directory of the node whose records these are; `None` for records from elsewhere.
    state: Option<PathBuf>,
    /// `--config DIR` and what else every command needs, once it has been looked for. Inner `None`: not to be had.
    place: Option<Option<String>>,
    last: String,
}

impl Hints {
    pub(super) fn new(wanted: bool, state: Option<&Path>) -> Self {
        Self {
            wanted,
            state: state.map(Path::to_owned),
            place: None,
            last: String::new(),
        }
    }

    /// For a denial that policy made between two workloads, unless the record before it had the same.
    pub(super) fn command(&mut self, record: &FlowRecord) -> Option<String> {
        if !self.wanted || !matches!(record.outcome, Outcome::Deny | Outcome::WouldDeny) {
            return None;
        }
        let question = question(record)?;
        let state = self.state.as_deref();
        let place = self.place.get_or_insert_with(|| options(state)).as_ref()?;
        let command = format!("ringfence policy explain{place} {question}");
        if command == self.last {
            return None;
        }
        self.last.clone_from(&command);
        Some(command)
    }
}

/// `--from A --to B --op OPERATION`. Nothing where policy was not asked, and where a text is not safe to paste.
fn question(record: &FlowRecord) -> Option<String> {
    if record.source.is_empty() || record.destination.is_empty() || record.operation == UNITEMISED {
        return None;
    }
    let from = shell::option("from", &record.source)?;
    let to = shell::option("to", &record.destination)?;
    match record.kind {
        RecordKind::Operation if record.protocol != "dns" => {
            let op = shell::option("op", &record.operation)?;
            Some(format!("{from} {to} {op}"))
        }
        // Whether they may meet at all: no operation is known yet.
        RecordKind::Connection | RecordKind::Operation => Some(format!("{from} {to}")),
        _ => None,
    }
}

/// Where the policy is that the node of `state` reads. Empty where nothing is known: the command then asks for itself.
fn options(state: Option<&Path>) -> Option<String> {
    let Some(found) = state.and_then(configuration::of_node) else {
        return Some(String::new());
    };
    let mut options = format!(" {}", shell::option("config", found.config.to_str()?)?);
    if found.zone.as_str() != configuration::DEFAULT_ZONE {
        options += &format!(" {}", shell::option("zone", found.zone.as_str())?);
    }
    Some(options)
}
