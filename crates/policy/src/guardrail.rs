//! Guardrails, compiled: what nobody may do, whatever policies say.

use ringfence_model::path::Allowances;
use ringfence_model::resource::Forbids;
use ringfence_model::{Name, Position, Protocol};

use crate::condition::{About, Asked, Condition, Moment};
use crate::trie::{Root, Tries};
use crate::verdict::Recheck;

/// How the operations of a receiver are read.
pub(crate) type Dialect = (Protocol, Allowances);

/// One guardrail.
#[derive(Debug)]
pub(crate) struct Guardrail {
    pub(crate) name: Name,
    pub(crate) why: Box<str>,
    pub(crate) at: Position,
    pub(crate) from: Members,
    pub(crate) to: Members,
    pub(crate) forbids: Forbids,
    /// Its operations, as receivers of each dialect read them.
    pub(crate) lists: Vec<(Dialect, Root)>,
    pub(crate) when: Option<Condition>,
}

/// Some workloads, or all.
#[derive(Debug)]
pub(crate) enum Members {
    All,
    /// Sorted indices.
    These(Vec<u32>),
}

impl Members {
    fn has(&self, index: u32) -> bool {
        match self {
            Self::All => true,
            Self::These(members) => members.binary_search(&index).is_ok(),
        }
    }
}

/// What a guardrail says to one operation.
pub(crate) enum Says {
    Nothing(Recheck),
    Forbids,
    /// Its condition could not be evaluated, so it forbids.
    Errored(crate::ConditionError),
    /// Its condition needs what was not supplied, so it forbids.
    Unknown,
}

impl Guardrail {
    /// Whether it is about this pair.
    pub(crate) fn concerns(&self, from: u32, to: u32) -> bool {
        self.from.has(from) && self.to.has(to)
    }

    /// The list that a receiver of this dialect is held to.
    pub(crate) fn list(&self, dialect: Dialect) -> Option<Root> {
        self.lists
            .iter()
            .find(|(own, _)| *own == dialect)
            .map(|(_, root)| *root)
    }

    /// Whether the operation is of what it forbids, apart from its condition.
    pub(crate) fn hits(&self, tries: &Tries, dialect: Dialect, about: &About<'_>) -> bool {
        let listed = self
            .list(dialect)
            .is_some_and(|root| tries.find(root, about.operation).is_some());
        match self.forbids {
            Forbids::Listed => listed,
            Forbids::Others => !listed,
        }
    }

    /// What it says to an operation between two that it [concerns](Self::concerns).
    pub(crate) fn says(
        &self,
        tries: &Tries,
        dialect: Dialect,
        about: &About<'_>,
        moment: &Moment<'_>,
    ) -> Says {
        if !self.hits(tries, dialect, about) {
            return Says::Nothing(Recheck::NEVER);
        }
        let Some(when) = &self.when else {
            return Says::Forbids;
        };
        match when.ask(about, moment) {
            Asked::Holds => Says::Forbids,
            Asked::Fails => Says::Nothing(Recheck {
                at: None,
                volatile: when.needs().now,
            }),
            Asked::Errored(error) => Says::Errored(error),
            Asked::Unknown => Says::Unknown,
        }
    }
}
