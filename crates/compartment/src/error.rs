//! Why a workload was not started, or not carried on.

use ringfence_model::text::safe;
use serde::{Deserialize, Serialize};

/// Exit code of a refusal by `run` itself.
pub const EXIT_REFUSED: u8 = 125;
/// Exit code when the program is there but cannot be executed.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// Exit code when the program, or what it needs to run, is not there.
pub const EXIT_NOT_FOUND: u8 = 127;

/// A refusal to start, or to go on. Travels from inside the compartment to the launcher, which tells the user.
///
/// It may name files that a workload made. Shown as text, nothing in it is obeyed by a terminal or begins a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}\nringfence: help: {}", safe(.what), safe(.fix))]
pub struct Refusal {
    /// What `run` exits with.
    pub code: u8,
    /// What is wrong, in words.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl Refusal {
    /// Something in the request cannot be granted.
    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            code: EXIT_REFUSED,
            what: what.into(),
            fix: fix.into(),
        }
    }

    /// A wall that cannot be built: which, why, and what to do.
    pub(crate) fn wall(wall: &str, cause: &dyn std::fmt::Display, fix: impl Into<String>) -> Self {
        Self::new(
            format!("{wall} cannot be set up: {cause}; nothing was started"),
            fix,
        )
    }
}

/// Attaches wall and fix to an error on its way out.
pub(crate) trait OrRefuse<T> {
    /// The value, or a refusal that names the wall.
    fn or_refuse(self, wall: &str, fix: &str) -> Result<T, Refusal>;
}

impl<T, E: std::fmt::Display> OrRefuse<T> for Result<T, E> {
    fn or_refuse(self, wall: &str, fix: &str) -> Result<T, Refusal> {
        self.map_err(|cause| Refusal::wall(wall, &cause, fix))
    }
}
