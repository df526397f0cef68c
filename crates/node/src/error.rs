//! Why a node does not start. What goes wrong later is said, recorded and lived with.

use std::path::PathBuf;

/// A reason not to start, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Another node holds the state.
    #[error("the state directory {} is in use by another `ringfence up`{}", .dir.display(), holder(*.pid))]
    Locked {
        /// The state directory.
        dir: PathBuf,
        /// Who holds it, if it said so.
        pid: Option<u32>,
    },
    /// Not ours, or open to others.
    #[error("the state directory {} {what}", .dir.display())]
    State {
        /// The state directory.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        fix: String,
    },
    /// A file of our own that cannot be what we wrote.
    #[error("{} is damaged: {what}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        fix: String,
    },
    /// Nothing to serve from.
    #[error("the configuration directory {} {what}", .dir.display())]
    Config {
        /// The configuration directory.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        fix: String,
    },
    /// The system said no.
    #[error("{what}: {cause}")]
    Io {
        /// What was tried, with the thing named.
        what: String,
        /// What the system said.
        cause: std::io::Error,
        /// What to do.
        fix: String,
    },
    /// The node that serves is not replaced.
    #[error("not taken over: {what}")]
    TakeOver {
        /// Why.
        what: String,
        /// What to do.
        fix: String,
    },
    /// There is no default for the state directory.
    #[error("no place for the state: neither XDG_STATE_HOME nor HOME is an absolute path")]
    NoHome,
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

impl NodeError {
    /// There is nothing to serve from, and never was.
    pub(crate) fn no_config(dir: PathBuf) -> Self {
        Self::Config {
            dir,
            what: "is not there".to_owned(),
            fix: "make one with `ringfence init DIR`, or name another with `--config DIR`"
                .to_owned(),
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            NodeError::Locked { pid: Some(pid), .. } => {
                format!(
                    "replace it with `ringfence up --takeover`, stop it with `kill {pid}`, or give this one its own with \
                     `--state DIR`"
                )
            }
            NodeError::Locked { pid: None, .. } => {
                "stop the other one, or give this one its own with `--state DIR`".to_owned()
            }
            NodeError::State { fix, .. }
            | NodeError::Damaged { fix, .. }
            | NodeError::Config { fix, .. }
            | NodeError::TakeOver { fix, .. }
            | NodeError::Io { fix, .. } => fix.clone(),
            NodeError::NoHome => "name one with `--state DIR`".to_owned(),
        }
    }

    pub(crate) fn io(what: impl Into<String>, cause: impl Into<std::io::Error>, fix: &str) -> Self {
        NodeError::Io {
            what: what.into(),
            cause: cause.into(),
            fix: fix.to_owned(),
        }
    }
}
