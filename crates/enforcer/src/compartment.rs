//! One armed compartment, as connections see it.

use std::sync::{Arc, Mutex, PoisonError};

use ringfence_compartment::figures::{Facts, Said};
use ringfence_model::flow::{Kind, Outcome};
use ringfence_model::text::misleads;
use ringfence_model::{InstanceId, OriginalDst, WorkloadId};
use tokio::sync::{Semaphore, watch};

use crate::cause::Cause;
use crate::datagrams::Flows;
use crate::fields::Sent;
use crate::fold::{Denials, Sort};
use crate::guests::Guests;
use crate::inbound::Pool;
use crate::inforce::InForce;
use crate::limits::{
    ARRIVING, BODIES_PER_COMPARTMENT, DNS_PER_SECOND, DNS_TCP_CONNECTIONS, FLOWS_PER_COMPARTMENT,
    HELD_PER_COMPARTMENT, SAID_BYTES, SAID_TEXTS, TURNS_PER_COMPARTMENT,
};
use crate::memory::Memory;
use crate::node::Node;
use crate::rate::Rate;
use crate::record::{Record, Recorder, Ruling, Subject, bounded};
use crate::slots::Slots;
use crate::turns::Turns;

/// Who is behind a set of doors. The door tells who; nothing that is said through it does.
pub(crate) struct Compartment {
    /// Which copy of the workload.
    pub(crate) instance: InstanceId,
    /// Which workload.
    pub(crate) workload: WorkloadId,
    /// Its launcher, which holds its sockets too, is another user's.
    pub(crate) shared: bool,
    /// For connections into it.
    pub(crate) inbound: Pool,
    /// Its connections, both ways.
    pub(crate) slots: Arc<Slots>,
    /// Its flows of datagrams, both ways.
    pub(crate) flow_slots: Arc<Slots>,
    /// What it takes of the node's places, with its connections and flows: those it began. Whoever connects to it takes
    /// of them himself.
    pub(crate) of_node: Arc<Slots>,
    /// What it takes of the node's flows.
    pub(crate) flows_of_node: Arc<Slots>,
    /// Whose connections into it those are.
    pub(crate) guests: Guests,
    /// Whose flows into it.
    pub(crate) flow_guests: Guests,
    /// Those it began.
    pub(crate) flows: Flows,
    /// Bodies of its requests that are held for a decision.
    pub(crate) body_slots: Arc<Slots>,
    /// What its requests may take beyond what each of its connections may hold by itself.
    pub(crate) memory: Arc<Memory>,
    /// Places for connections that came to its doors and are not judged yet.
    pub(crate) arriving: Arc<Semaphore>,
    /// What its connections and flows run in.
    pub(crate) turns: Arc<Turns>,
    /// Its DNS connections over TCP.
    pub(crate) dns_slots: Arc<Slots>,
    /// Its DNS queries.
    pub(crate) dns_rate: Rate,
    denials: Denials,
    left: watch::Sender<Option<&'static str>>,
    /// Until the node has been told.
    said: Mutex<Option<Said>>,
}

impl Compartment {
    /// Of `node`, not entered yet.
    pub(crate) fn new(
        node: &Node,
        instance: InstanceId,
        workload: WorkloadId,
        shared: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            instance,
            workload,
            shared,
            inbound: Pool::new(shared),
            slots: Slots::new(node.share()),
            flow_slots: Slots::new(FLOWS_PER_COMPARTMENT.min(node.share())),
            of_node: Slots::new(usize::MAX),
            flows_of_node: Slots::new(usize::MAX),
            guests: Guests::default(),
            flow_guests: Guests::default(),
            flows: Flows::default(),
            body_slots: Slots::new(BODIES_PER_COMPARTMENT),
            memory: Memory::new(HELD_PER_COMPARTMENT),
            arriving: Arc::new(Semaphore::new(ARRIVING)),
            turns: Turns::new(TURNS_PER_COMPARTMENT),
            dns_slots: Slots::new(DNS_TCP_CONNECTIONS),
            dns_rate: Rate::new(DNS_PER_SECOND),
            denials: Denials::new(Arc::clone(&node.recorder)),
            left: watch::Sender::new(None),
            said: Mutex::default(),
        })
    }

    /// Takes down what its launcher says of it, within bounds and fit to be shown.
    pub(crate) fn note_said(&self, said: Said) {
        let shown = |text: String| {
            let plain: String = text
                .chars()
                .map(|c| if misleads(c) { '\u{fffd}' } else { c })
                .collect();
            bounded(&plain, SAID_BYTES)
        };
        let list = |texts: Vec<String>| texts.into_iter().take(SAID_TEXTS).map(shown).collect();
        *self.said() = Some(Said {
            version: shown(said.version),
            walls: list(said.walls),
            unbounded: list(said.unbounded),
        });
    }

    /// What the node is told of it. What was said is told once.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            instance: self.instance.clone(),
            connections: self.slots.taken() as u64,
            said: self.said().take(),
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Option<Said>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all its connections, for a reason. The first reason stays.
    pub(crate) fn leave(&self, reason: &'static str) {
        self.left
            .send_if_modified(|left| left.is_none() && left.replace(reason).is_none());
    }

    /// Whether [`Compartment::leave`] was called.
    pub(crate) fn has_left(&self) -> bool {
        self.left.borrow().is_some()
    }

    /// Why it has left; `None` while it has not.
    pub(crate) fn reason_left(&self) -> Option<&'static str> {
        *self.left.borrow()
    }

    /// News of [`Compartment::leave`] from here on; ask [`Compartment::reason_left`] afterwards.
    pub(crate) fn departure(&self) -> watch::Receiver<Option<&'static str>> {
        self.left.subscribe()
    }

    /// Resolves when it has left.
    pub(crate) async fn gone(&self) {
        let mut left = self.left.subscribe();
        // The sender is part of `self`, so it cannot be gone while this waits.
        let _left = left.wait_for(Option::is_some).await;
    }

    /// What is common to all records about what it tries.
    pub(crate) fn subject(
        &self,
        force: &InForce,
        original: OriginalDst,
        protocol: &'static str,
    ) -> Subject {
        let mut subject = Subject::of(force, &self.workload, &self.instance);
        subject.original = Some(original);
        subject.protocol = protocol;
        subject
    }

    /// Records that it was refused something, alone or together with others alike.
    pub(crate) fn refused(&self, subject: &Subject, kind: Kind, operation: &str, ruling: &Ruling) {
        self.note(subject, (kind, Outcome::Deny), operation, ruling);
    }

    /// The same of a request, with what came with it. It is refused, recorded whole or not.
    pub(crate) fn refused_request(
        &self,
        (subject, outcome): (&Subject, Outcome),
        operation: &str,
        ruling: &Ruling,
        (recorder, sent): (&Recorder, &Sent<'_>),
    ) {
        let what = (Kind::Operation, outcome);
        self.note_with(subject, what, operation, ruling, |record| {
            // What cannot stand there for want of a key is counted there.
            let _counted = recorder.with_fields(record, sent);
        });
    }

    /// Records that it was allowed to connect, send or ask, and that nobody was there; folded as a refusal is.
    pub(crate) fn failed(&self, subject: &Subject, kind: Kind, operation: &str, ruling: &Ruling) {
        self.note(subject, (kind, Outcome::Error), operation, ruling);
    }

    fn note(
        &self,
        subject: &Subject,
        (kind, outcome): (Kind, Outcome),
        operation: &str,
        ruling: &Ruling,
    ) {
        self.note_with(subject, (kind, outcome), operation, ruling, |_| ());
    }

    fn note_with(
        &self,
        subject: &Subject,
        (kind, outcome): (Kind, Outcome),
        operation: &str,
        ruling: &Ruling,
        complete: impl FnOnce(&mut Record),
    ) {
        let sort = Sort {
            kind,
            outcome,
            protocol: subject.protocol,
            cause: ruling.cause,
        };
        let text = (operation, &ruling.reason);
        let to = (subject.destination.as_str(), subject.original);
        self.denials.note(sort, to, text, || {
            let mut record = subject.flow(kind, outcome, operation, ruling);
            complete(&mut record);
            record
        });
    }

    /// Records what its launcher says that was refused.
    pub(crate) fn reported(&self, kind: Kind, cause: Cause, flow: Record) {
        let sort = Sort {
            kind,
            outcome: Outcome::Deny,
            // The launcher may say anything.
            protocol: "various",
            cause,
        };
        self.denials.reported(sort, flow);
    }

    /// Writes the folded denials of a window that is over.
    pub(crate) fn tick(&self) {
        self.denials.tick();
    }

    /// Writes all folded denials.
    pub(crate) fn finish(&self) {
        self.denials.finish();
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    use super::*;

    const ESTATE: &str =
        "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: { name: agent }\nspec: {}\n";

    #[test]
    fn what_a_launcher_says_is_bounded_fit_to_be_shown_and_told_once() {
        let world = World::new(ESTATE);
        let home = world.compartment(ringfence_model::Kind::Agent, "agent");
        home.note_said(Said {
            version: "1\u{1b}[2J".to_owned(),
            walls: vec!["w\n".repeat(1000); 100],
            unbounded: vec!["\0".repeat(1000)],
        });
        let said = home.facts().said.unwrap();
        assert_eq!(said.version, "1\u{fffd}[2J");
        assert_eq!((said.walls.len(), said.unbounded.len()), (SAID_TEXTS, 1));
        for text in said.walls.iter().chain(&said.unbounded) {
            assert!(
                text.len() <= SAID_BYTES && !text.contains(misleads),
                "{text:?}"
            );
        }
        assert_eq!(home.facts().said, None);
    }
}
