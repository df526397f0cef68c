//! Why a query has no answer, or not all of one.

use std::io;

use datafusion::error::DataFusionError;
use ringfence_history::HistoryError;

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no log, or it cannot be read.
    #[error("{0}")]
    Log(#[from] HistoryError),
    /// Something other than a question.
    #[error("only SELECT, EXPLAIN, SHOW and DESCRIBE are taken: {0}")]
    NotAQuestion(String),
    /// The text is not SQL, or asks for what is not there.
    #[error(
        "{0}\nthe table is flows, with columns named like the keys of `ringfence observe -o json`, case included; `DESCRIBE flows` lists them"
    )]
    Sql(String),
    /// It needs more than it may have.
    #[error("the query needs more memory than {} MiB: ask for fewer or smaller groups (WHERE, LIMIT), or give it more with --memory", .0 >> 20)]
    Memory(usize),
    /// It broke while it ran.
    #[error("the query ended early: {0}")]
    Failed(String),
    /// The answer cannot be written.
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl QueryError {
    /// Whether what was typed is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NotAQuestion(_) | Self::Sql(_))
    }

    /// Sorts what the engine says while it plans.
    pub(crate) fn planning(error: &DataFusionError, memory: usize) -> Self {
        let said = error.find_root().strip_backtrace();
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory(memory),
            DataFusionError::Plan(_)
                if said.contains(" not supported: ") && is_forbidden(&said) =>
            {
                Self::NotAQuestion(plain(&said))
            }
            DataFusionError::ObjectStore(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::IoError(_) => Self::Failed(plain(&said)),
            _ => Self::Sql(plain(&said)),
        }
    }

    /// Sorts what the engine says while it runs.
    pub(crate) fn running(error: &DataFusionError, memory: usize) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory(memory),
            root => Self::Failed(plain(&root.strip_backtrace())),
        }
    }
}

fn is_forbidden(said: &str) -> bool {
    ["DDL", "DML", "Statement"]
        .iter()
        .any(|kind| said.contains(&format!("{kind} not supported: ")))
}

/// Without the engine's own first word.
fn plain(said: &str) -> String {
    let words = [
        "Error during planning: ",
        "SQL error: ",
        "Execution error: ",
        "External error: ",
        "This feature is not implemented: ",
    ];
    let mut said = said;
    while let Some(rest) = words.iter().find_map(|word| said.strip_prefix(word)) {
        said = rest;
    }
    said.to_owned()
}
