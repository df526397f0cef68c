//! Redaction: the enforcer, whose the keys are, deletes them on an operator's word.

use ringfence_compartment::link::{FromNode, ToNode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Supervisor;
use super::quarantine::cleaned;
use crate::admin::Refused;
use crate::limits::QUARANTINE_WITHIN;
use crate::quarantine::Asker;
use crate::redaction::{RedactWish, Redacted};

/// The way back to an operator.
pub(crate) type Answer = oneshot::Sender<Result<Redacted, Refused>>;

/// A wish that the enforcer has not answered yet.
pub(super) struct Redacting {
    id: u64,
    until: Instant,
    dry_run: bool,
    answer: Answer,
}

impl Supervisor {
    /// An operator's wish.
    pub(super) fn redact(&mut self, wish: &RedactWish, by: &Asker, answer: Answer) {
        let reason = match cleaned(&wish.reason) {
            Ok(reason) => reason,
            // Whoever asked may have hung up.
            Err(refused) => return drop(answer.send(Err(refused))),
        };
        let Some(enforcer) = self.child.serving() else {
            let refused = Refused::new(
                "no enforcer is up, whose the keys are; nothing was deleted",
                "look with `ringfence status`, and ask again",
            );
            return drop(answer.send(Err(refused)));
        };
        self.asked += 1;
        enforcer.say(FromNode::Redact {
            id: self.asked,
            first: wish.first,
            last: wish.last,
            before_ns: wish.before_ns,
            dry_run: wish.dry_run,
            by: format!("by {by}: {reason}"),
        });
        self.redacting.push(Redacting {
            id: self.asked,
            until: Instant::now() + QUARANTINE_WITHIN,
            dry_run: wish.dry_run,
            answer,
        });
    }

    /// What the enforcer answers.
    pub(super) fn redacted(&mut self, answered: ToNode) {
        let ToNode::Redacted {
            id,
            keys,
            numbers,
            trouble,
        } = answered
        else {
            return;
        };
        let Some(at) = self.redacting.iter().position(|one| one.id == id) else {
            return;
        };
        let one = self.redacting.remove(at);
        // Whoever asked may have hung up.
        let _ = one.answer.send(Ok(Redacted {
            keys,
            first: numbers.map(|(first, _)| first),
            last: numbers.map(|(_, last)| last),
            dry_run: one.dry_run,
            trouble,
        }));
    }

    /// Tells those that no answer will come to. `all`: the enforcer has ended.
    pub(super) fn abandon_redacting(&mut self, all: bool) {
        let now = Instant::now();
        for one in self.redacting.extract_if(.., |one| all || one.until < now) {
            let refused = Refused::new(
                "the enforcer did not answer; it may have deleted them or not",
                "`ringfence observe --kind event` tells what is on record, `ringfence audit redact --dry-run` which keys are there",
            );
            // Whoever asked may have hung up.
            let _ = one.answer.send(Err(refused));
        }
    }
}
