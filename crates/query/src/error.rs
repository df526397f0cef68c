//! Why a query has no answer, or not all of one.

use std::any::Any;
use std::io;

use datafusion::error::DataFusionError;
use ringfence_history::{HistoryError, OWNERS_ONLY};

use crate::QUESTION_MAX;

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no log, or it cannot be read.
    #[error("{0}{more}", more = if .0.is_refused() { format!("\n{OWNERS_ONLY}") } else { String::new() })]
    Log(#[from] HistoryError),
    /// Something other than a question.
    #[error("only SELECT, EXPLAIN, SHOW and DESCRIBE are taken: {0}")]
    NotAQuestion(String),
    /// The text is not SQL, or asks for what is not there.
    #[error(
        "{0}\nthe table is flows, with columns named like the keys of `ringfence observe -o json`, case included; `DESCRIBE flows` lists them"
    )]
    Sql(String),
    /// A part of it would have no effect.
    #[error(
        "{0} is not taken here: it would be passed over, and the answer would be to another question; leave it out"
    )]
    Unheard(&'static str),
    /// Longer than a question may be.
    #[error("the question has {0} bytes, and may have {QUESTION_MAX}: ask for less at a time")]
    TooLong(usize),
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
        matches!(
            self,
            Self::NotAQuestion(_) | Self::Sql(_) | Self::Unheard(_) | Self::TooLong(_)
        )
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
            DataFusionError::SQL(parser, _) => Self::Sql(plain(&parser.to_string())),
            _ => Self::Sql(place(error) + &plain(&said)),
        }
    }

    /// The engine came upon something that it did not expect, such as bytes that no writer makes.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Self::Failed(format!(
            "the engine gave up: {}; `ringfence audit verify` tells whether the log is whole",
            said.unwrap_or("it did not say why")
        ))
    }

    /// Sorts what the engine says while it runs.
    pub(crate) fn running(error: &DataFusionError, memory: usize) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory(memory),
            root => Self::Failed(plain(&root.strip_backtrace())),
        }
    }
}

/// Where in the question it is, if the engine knows.
fn place(error: &DataFusionError) -> String {
    let span = error.diagnostic().and_then(|found| found.span);
    span.map_or_else(String::new, |span| {
        format!("line {}, column {}: ", span.start.line, span.start.column)
    })
}

fn is_forbidden(said: &str) -> bool {
    ["DDL", "DML", "Statement"]
        .iter()
        .any(|kind| said.contains(&format!("{kind} not supported: ")))
}

/// Without the engine's own first word.
fn plain(said: &str) -> String {
    // It names columns as if their case did not count, and settings that nobody can make.
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains("enable_ident_normalization"))
        .collect();
    let said = said.join("\n");
    let mut parts = said.split("flows.\"");
    let first = parts.next().unwrap_or_default().to_owned();
    let said = parts.fold(first, |said, part| {
        said + "flows." + &part.replacen('"', "", 1)
    });
    let words = [
        "Error during planning: ",
        "sql parser error: ",
        "Execution error: ",
        "Schema error: ",
        "External error: ",
        "This feature is not implemented: ",
    ];
    let mut said = said.as_str();
    while let Some(rest) = words.iter().find_map(|word| said.strip_prefix(word)) {
        said = rest;
    }
    said.to_owned()
}
