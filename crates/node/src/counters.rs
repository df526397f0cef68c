//! Two numbers that never go back: the generation, and how often a node was started on this state.

use std::path::Path;

use ringfence_model::Generation;
use serde::{Deserialize, Serialize};

use crate::NodeError;
use crate::persist::{self, Durability};

/// Name of the file in the state directory.
const FILE: &str = "counters.json";

/// Written down, and synced, before a number is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// Highest generation ever offered to an enforcer.
    pub(crate) generation: Generation,
    /// Starts of a node. Part of every instance's name.
    pub(crate) starts: u64,
}

impl Counters {
    /// Those of the state directory `dir`, with this start counted.
    pub(crate) fn next_start(dir: &Path) -> Result<Self, NodeError> {
        let mut counters = Self::read(dir)?;
        counters.starts += 1;
        counters.store(dir).map_err(|error| {
            NodeError::io(
                format!("write {}", dir.join(FILE).display()),
                error,
                "make room in the state directory",
            )
        })?;
        Ok(counters)
    }

    /// Those of the state directory `dir`, as they are.
    pub(crate) fn read(dir: &Path) -> Result<Self, NodeError> {
        let fix =
            "put back a copy; without it, numbers of generations and instances would be used twice";
        Ok(persist::read_json(dir, FILE, fix)?.unwrap_or_default())
    }

    pub(crate) fn store(&self, dir: &Path) -> std::io::Result<()> {
        persist::replace_json(dir, FILE, self, Durability::Machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_is_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Counters::next_start(dir.path()).unwrap().starts, 1);
        let mut counters = Counters::next_start(dir.path()).unwrap();
        counters.generation = Generation(7);
        counters.store(dir.path()).unwrap();
        assert_eq!(
            Counters::next_start(dir.path()).unwrap(),
            Counters {
                generation: Generation(7),
                starts: 3
            }
        );
    }
}
