//! What a check found, in one line, and what to do about it, in another.

use serde::{Deserialize, Serialize};

use crate::error::Refusal;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// A fact to know, which nothing on this machine can change.
    Info,
    /// It works, with less.
    Warn,
    /// It does not work.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable, for scripts and for `docs/check.md`.
    pub id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found; one line.
    pub text: String,
    /// What to do; one line. There for every [`Outcome::Warn`] and [`Outcome::Fail`], and for no other.
    pub hint: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(id: &str, text: impl Into<String>) -> Self {
        Self::new(id, Outcome::Ok, text, None)
    }

    /// To be known.
    pub fn info(id: &str, text: impl Into<String>) -> Self {
        Self::new(id, Outcome::Info, text, None)
    }

    /// Works with less.
    pub fn warn(id: &str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(id, Outcome::Warn, text, Some(hint.into()))
    }

    /// Does not work.
    pub fn fail(id: &str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(id, Outcome::Fail, text, Some(hint.into()))
    }

    /// Does not work, in the words of whoever refused.
    pub(crate) fn refused(id: &str, refusal: &Refusal) -> Self {
        let what = refusal.what.trim_end_matches("; nothing was started");
        Self::fail(id, what, refusal.fix.as_str())
    }

    fn new(id: &str, outcome: Outcome, text: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            id: id.to_owned(),
            outcome,
            text: one_line(&text.into()),
            hint: hint.as_deref().map(one_line),
        }
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Checks that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its heading.
    pub name: String,
    /// In the order in which they were made.
    pub checks: Vec<Finding>,
}

impl Group {
    /// Under a heading.
    pub fn new(name: &str, checks: Vec<Finding>) -> Self {
        Self {
            name: name.to_owned(),
            checks,
        }
    }

    /// Whether nothing in it failed.
    pub fn passed(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.outcome != Outcome::Fail)
    }
}
