//! Guardrails, compiled: what nobody may do, whatever policies say.

use ringfence_model::CanonicalPath;
use ringfence_model::operation::{HttpPattern, Pattern, Segment, WEBSOCKET};
use ringfence_model::path::{self, Allowances};
use ringfence_model::resource::Forbids;
use ringfence_model::{Name, Position, Protocol};

use crate::condition::{About, Asked, Condition, Moment};
use crate::trie::{Root, Tries};
use crate::verdict::{Operation, Recheck};

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
    /// As written.
    pub(crate) texts: Vec<Box<str>>,
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

    /// Whether the operation is of what it forbids in any reading, apart from its condition.
    pub(crate) fn hits(&self, tries: &Tries, dialect: Dialect, about: &About<'_>) -> bool {
        let plain = plain(about.operation);
        self.hits_read(tries, dialect, about.operation)
            || plain.is_some_and(|(method, path)| {
                self.hits_read(
                    tries,
                    dialect,
                    Operation::Http {
                        method,
                        path: &path,
                    },
                )
            })
    }

    fn hits_read(&self, tries: &Tries, dialect: Dialect, operation: Operation<'_>) -> bool {
        let listed = self
            .list(dialect)
            .is_some_and(|root| tries.find(root, operation).is_some());
        match self.forbids {
            Forbids::Listed => listed,
            Forbids::Others => !listed,
        }
    }

    /// What it says to an operation between two that it [concerns](Self::concerns). Here a spelling that is missed opens,
    /// so a path with escapes that the receiver may decode is asked about both ways.
    pub(crate) fn says(
        &self,
        tries: &Tries,
        dialect: Dialect,
        about: &About<'_>,
        moment: &Moment<'_>,
    ) -> Says {
        let said = self.says_read(tries, dialect, about, moment);
        let Says::Nothing(recheck) = said else {
            return said;
        };
        let Some((method, path)) = plain(about.operation) else {
            return Says::Nothing(recheck);
        };
        let operation = Operation::Http {
            method,
            path: &path,
        };
        let about = About {
            operation,
            ..*about
        };
        match self.says_read(tries, dialect, &about, moment) {
            Says::Nothing(other) => Says::Nothing(recheck.and(other)),
            said => said,
        }
    }

    fn says_read(
        &self,
        tries: &Tries,
        dialect: Dialect,
        about: &About<'_>,
        moment: &Moment<'_>,
    ) -> Says {
        if !self.hits_read(tries, dialect, about.operation) {
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

/// A pattern as it is compared with paths as they are, and with paths as some receivers read them.
pub(crate) fn readings(pattern: Pattern, forbids: Forbids) -> impl Iterator<Item = Pattern> {
    with_websockets(pattern, forbids).flat_map(spellings)
}

/// Where any method is forbidden, so are WebSockets: `*` does not speak of them, and here what is not spoken of opens.
pub(crate) fn with_websockets(pattern: Pattern, forbids: Forbids) -> impl Iterator<Item = Pattern> {
    let opened = match &pattern {
        Pattern::Http(http) if http.method.is_none() && forbids == Forbids::Listed => {
            Some(Pattern::Http(HttpPattern {
                method: Some(WEBSOCKET.into()),
                ..http.clone()
            }))
        }
        _ => None,
    };
    std::iter::once(pattern).chain(opened)
}

fn spellings(pattern: Pattern) -> impl Iterator<Item = Pattern> {
    let plain = match &pattern {
        Pattern::Http(http) => {
            let mut plain = http.clone();
            for segment in &mut plain.segments {
                if let Segment::Literal(text) = segment
                    && let Some(decoded) = path::plain(text)
                {
                    *text = decoded.into();
                }
            }
            (plain != *http).then_some(Pattern::Http(plain))
        }
        // The names of a call have one spelling.
        Pattern::Connect | Pattern::Send | Pattern::Grpc(_) => None,
    };
    std::iter::once(pattern).chain(plain)
}

/// Method and path as a receiver reads them that decodes more than the canonical form does, if that is another path.
fn plain(operation: Operation<'_>) -> Option<(&str, CanonicalPath)> {
    match operation {
        Operation::Http { method, path } => Some((method, path.plain()?)),
        Operation::Connect | Operation::Send | Operation::Grpc(_) => None,
    }
}
