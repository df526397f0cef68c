//! Conditions: CEL expressions that rules and guardrails carry as `when`.
//!
//! Compiled once, with the policy; asked only when the pattern of their rule has matched. The `cel` crate parses and
//! evaluates; this module says which names exist, what an expression reads, what it may cost, and in which words it fails.
//! No word of an error repeats what a request holds: requests carry secrets, and errors stand in the log.
//!
//! `compile.rs` checks an expression and finds what it reads (`needs.rs`); `facts.rs` finds that in a request or in what
//! people supply (`supplied.rs`); `spelling.rs` knows which names some receiver takes for them; `body.rs` and `json.rs` read
//! bodies; `engine.rs` holds functions and bounds.

mod body;
mod compile;
mod engine;
mod facts;
mod json;
mod needs;
mod spelling;
mod supplied;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::IdedExpr;
use cel::{ExecutionError, Value};

pub(crate) use compile::{Allowed, CompileError, compile, names_of};
pub(crate) use facts::{About, Party};
pub use facts::{BODY_MAX, Body, Moment, Request, Seen, WithError};
pub(crate) use needs::Needs;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread is caught, and costs only the condition or the request it is about. A panic hook runs before
/// anything is caught: one that ends the process has to let this one pass.
pub fn panic_is_contained() -> bool {
    CONTAINED.get()
}

/// While it lives, panics are contained.
struct Containment;

impl Containment {
    fn new() -> Self {
        CONTAINED.set(true);
        Self
    }
}

impl Drop for Containment {
    fn drop(&mut self) {
        CONTAINED.set(false);
    }
}

/// Runs what others wrote through code of others; `Err`: it panicked.
fn contained<T>(run: impl FnOnce() -> T) -> std::thread::Result<T> {
    catch_unwind(AssertUnwindSafe(|| {
        let _while_it_runs = Containment::new();
        run()
    }))
}

/// One compiled condition.
#[derive(Debug)]
pub(crate) struct Condition {
    expr: IdedExpr,
    needs: Needs,
    /// As written, for words.
    text: Box<str>,
}

/// What asking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Holds,
    Fails,
    Errored(ConditionError),
    /// What it reads was not supplied.
    Unknown,
}

/// Why a condition could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConditionError {
    /// A field, header, parameter or key is not there.
    #[error("{0} is absent")]
    Absent(Box<str>),
    /// A header or parameter was sent more than once, so that two readers could see different values.
    #[error("{0} is sent more than once")]
    SentTwice(Box<str>),
    /// A header or parameter is sent in a spelling that some receivers take for the name that is read.
    #[error("{0} is sent in another spelling, which some servers take for it")]
    OtherSpelling(Box<str>),
    /// A header or parameter is no text.
    #[error("{0} is not valid text")]
    NotText(Box<str>),
    /// The body cannot be read the one way that everybody reads it.
    #[error("the body {0}")]
    Body(&'static str),
    /// Over the cost bound.
    #[error("it costs more than {} steps", engine::COST_MAX)]
    Cost,
    /// Neither true nor false.
    #[error("it is neither true nor false")]
    NotTruth,
    /// Operands of types that do not go together, a division by zero, an overflow.
    #[error("{0}")]
    Evaluation(&'static str),
}

impl Condition {
    /// What must be known to ask it.
    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates it. Never panics, never takes longer than its cost bound allows.
    pub(crate) fn ask(&self, about: &About<'_>, moment: &Moment<'_>) -> Asked {
        // A fault in reading what was sent, or in the evaluator, must cost one request, not the process.
        contained(|| self.evaluate(about, moment)).unwrap_or(Asked::Errored(
            ConditionError::Evaluation("the evaluator broke down"),
        ))
    }

    fn evaluate(&self, about: &About<'_>, moment: &Moment<'_>) -> Asked {
        let variables = match facts::variables(&self.needs, about, moment) {
            Ok(variables) => variables,
            Err(facts::Missing::Unknown) => return Asked::Unknown,
            Err(facts::Missing::Error(error)) => return Asked::Errored(error),
        };
        match engine::evaluate(&self.expr, variables) {
            Ok(Value::Bool(true)) => Asked::Holds,
            Ok(Value::Bool(false)) => Asked::Fails,
            Ok(_) => Asked::Errored(ConditionError::NotTruth),
            Err(error) => Asked::Errored(self.in_words(error)),
        }
    }

    fn in_words(&self, error: engine::Fault) -> ConditionError {
        let engine::Fault::Evaluation(error) = error else {
            return ConditionError::Cost;
        };
        match error {
            // A key that stands in the expression says nothing about the request; any other may be a value of it.
            ExecutionError::NoSuchKey(key) | ExecutionError::UndeclaredReference(key)
                if self.text.contains(key.as_str()) =>
            {
                ConditionError::Absent(key.as_str().into())
            }
            ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => {
                ConditionError::Absent("a key or place".into())
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                ConditionError::Evaluation("it divides by zero")
            }
            ExecutionError::Overflow(..) => ConditionError::Evaluation("a number overflows"),
            ExecutionError::FunctionError { .. } => {
                ConditionError::Evaluation("a function cannot take its argument")
            }
            ExecutionError::NoSuchOverload(_)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::UnsupportedTargetType { .. }
            | ExecutionError::NotSupportedAsMethod { .. }
            | ExecutionError::UnsupportedKeyType(_)
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::UnsupportedIndex(..) => {
                ConditionError::Evaluation("values of different types do not go together")
            }
            _ => ConditionError::Evaluation("the evaluator cannot do it"),
        }
    }
}

#[cfg(test)]
mod tests;
