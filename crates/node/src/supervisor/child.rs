//! The enforcer's life: started, given its policy, watched, started again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use ringfence_compartment::figures::{Facts, Figures, Said};
use ringfence_compartment::link::{FromNode, ToNode};
use ringfence_model::{Generation, InstanceId};
use tokio::time::Instant;

use super::report::records_lost;
use super::{Input, Supervisor};
use crate::enforcer::{Enforcer, EnforcerNews, Epoch};
use crate::limits::{
    BACK_OFF, HEALTHY_AFTER, HUNG_AFTER, KILLED_AFTER, LOADED_WITHIN, LOOP_SAID, POISON_DEATHS,
    READY_WITHIN,
};

/// What the supervisor knows of its enforcer.
#[derive(Default)]
pub(super) struct Child {
    current: Option<Enforcer>,
    started: u64,
    ready: bool,
    /// Sent and not answered, with the time at which an answer is late.
    pending: Option<(Generation, Instant)>,
    late: bool,
    /// Questions since it last answered one.
    unanswered: u32,
    loaded: Option<(Generation, Instant)>,
    ready_by: Option<Instant>,
    /// Deaths in a row without a healthy stretch between them.
    deaths: usize,
    poisoned: BTreeMap<Generation, u32>,
    pub(super) last_end: Option<(Timestamp, String)>,
    /// When the present one was started.
    pub(super) since: Option<Timestamp>,
    pub(super) told: Told,
    /// Of an answer that is not complete yet.
    gathering: BTreeMap<InstanceId, Facts>,
    /// What launchers said of their compartments. The enforcer passes it on once.
    pub(super) said: BTreeMap<InstanceId, Said>,
}

/// What the enforcer last told of itself. Nothing, when there is none.
#[derive(Default)]
pub(super) struct Told {
    pub(super) connections: u64,
    pub(super) log_head: Option<u64>,
    pub(super) log_bytes: Option<u64>,
    pub(super) log_room: Option<u64>,
    /// The numbers of records that are lost.
    pub(super) log_lost: Option<String>,
    /// Armed compartments.
    pub(super) armed: BTreeMap<InstanceId, Facts>,
    pub(super) figures: Box<Figures>,
}

impl Child {
    pub(super) fn was_started(&self) -> bool {
        self.started > 0
    }

    pub(super) fn restarts(&self) -> u64 {
        self.started.saturating_sub(1)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.current.as_ref().map(|enforcer| enforcer.pid)
    }

    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// Whether it has left so many questions unanswered that it must be taken as hung.
    pub(super) fn hangs(&self) -> bool {
        self.unanswered > HUNG_AFTER
    }

    /// Whether it keeps ending: how often in a row.
    pub(super) fn loops(&self) -> Option<usize> {
        (self.deaths >= LOOP_SAID).then_some(self.deaths)
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.current.as_ref().map(|enforcer| enforcer.epoch)
    }

    /// The enforcer, if a generation is in force in it.
    pub(super) fn serving(&self) -> Option<&Enforcer> {
        self.current.as_ref().filter(|_| self.loaded.is_some())
    }

    /// The enforcer, as soon as it can be told anything.
    pub(super) fn listening(&self) -> Option<&Enforcer> {
        self.current.as_ref().filter(|_| self.ready)
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }

    pub(super) fn has(&self, generation: Generation) -> bool {
        self.loaded.is_some_and(|(loaded, _)| loaded == generation)
    }

    pub(super) fn kill(&self, why: &'static str) {
        if let Some(enforcer) = &self.current {
            enforcer.kill(why);
        }
    }

    pub(super) fn ask_to_stop(&self) -> Option<Epoch> {
        let enforcer = self.current.as_ref()?;
        enforcer.say(FromNode::Stop);
        Some(enforcer.epoch)
    }
}

impl Supervisor {
    pub(super) fn start_enforcer(&mut self) {
        if self.child.current.is_some() {
            return;
        }
        self.child.started += 1;
        let epoch = Epoch(self.child.started);
        let (exe, args) = (&self.fixed.exe, &self.fixed.enforcer_args);
        match Enforcer::start(exe, args, epoch, self.inputs.clone()) {
            Ok(enforcer) => {
                self.child.ready_by = Some(Instant::now() + READY_WITHIN);
                self.child.since = Some(Timestamp::now());
                self.child.current = Some(enforcer);
            }
            Err(error) => self.ended(&format!("it cannot be started: {error}")),
        }
    }

    pub(super) fn heard(&mut self, epoch: Epoch, news: EnforcerNews) {
        if self.child.epoch() != Some(epoch) {
            return;
        }
        if matches!(news, EnforcerNews::Said(_)) {
            self.manager.alive();
        }
        match news {
            EnforcerNews::Ended(how) => self.ended(&how),
            EnforcerNews::Said(ToNode::Ready) => {
                self.child.ready = true;
                self.child.ready_by = None;
                // Before any policy: nobody is free for the moment between the two.
                self.hand_quarantines();
                self.send_target();
            }
            EnforcerNews::Said(ToNode::Loaded { generation }) => {
                self.answered(generation);
                let first = self.child.loaded.is_none();
                let since = self
                    .child
                    .loaded
                    .map_or_else(Instant::now, |(_, since)| since);
                self.child.loaded = Some((generation, since));
                self.taken(generation);
                if first && self.child.restarts() > 0 {
                    let what = format!(
                        "process {}, restart {}, generation {generation}",
                        self.child.pid().unwrap_or_default(),
                        self.child.restarts()
                    );
                    if self.child.loops().is_none() {
                        crate::say::warn(&format!("the enforcer is up again: {what}"));
                    }
                    self.record("enforcer restarted", what, None, true);
                }
            }
            EnforcerNews::Said(ToNode::Rejected { generation, reason }) => {
                self.answered(generation);
                self.not_taken(generation, &reason);
            }
            EnforcerNews::Said(
                answered @ (ToNode::Quarantined { .. } | ToNode::WouldCut { .. }),
            ) => self.imposed(answered),
            EnforcerNews::Said(answered @ ToNode::Redacted { .. }) => self.redacted(answered),
            EnforcerNews::Said(ToNode::Compartments { compartments }) => {
                for mut facts in compartments {
                    if let Some(said) = facts.said.take() {
                        self.child.said.insert(facts.instance.clone(), said);
                    }
                    let instance = facts.instance.clone();
                    self.child.gathering.insert(instance, facts);
                }
            }
            EnforcerNews::Said(ToNode::Status {
                id,
                generation: _,
                log_head,
                log_trouble,
                log_lost,
                log_bytes,
                log_room,
                connections,
                figures,
            }) => {
                if self.child.hangs() {
                    crate::say::warn("the enforcer answers again");
                }
                self.child.unanswered = 0;
                self.claims_due();
                let armed = std::mem::take(&mut self.child.gathering);
                self.child.said.retain(|id, _| armed.contains_key(id));
                if log_lost != self.child.told.log_lost
                    && let Some(lost) = &log_lost
                {
                    crate::say::warn(&records_lost(lost));
                }
                self.child.told = Told {
                    connections,
                    log_head: Some(log_head),
                    log_bytes: Some(log_bytes),
                    log_room,
                    log_lost,
                    armed,
                    figures,
                };
                self.note_log(log_trouble);
                self.answer_questions(id);
            }
        }
    }

    /// Asks the enforcer how it stands; one that leaves it at that is noticed, and in the end replaced.
    ///
    /// Questions are counted, not seconds: a node that was itself stopped for a while has asked nothing meanwhile.
    pub(super) fn ask(&mut self) {
        let Some(enforcer) = self.child.serving() else {
            return;
        };
        enforcer.say(FromNode::AskStatus { id: 0 });
        self.child.unanswered += 1;
        if self.child.unanswered == HUNG_AFTER + 1 {
            crate::say::warn(&format!(
                "the enforcer (process {}) does not answer; if it stays so it is killed and started again",
                self.child.pid().unwrap_or_default()
            ));
            self.answer_all_questions();
        }
        if self.child.unanswered > KILLED_AFTER {
            self.child.kill("it does not answer");
        }
    }

    /// An enforcer that has stayed up is told from one that keeps ending.
    pub(super) fn steady(&mut self) {
        let healthy = self
            .child
            .loaded
            .is_some_and(|(_, since)| since.elapsed() >= HEALTHY_AFTER);
        if !healthy {
            return;
        }
        if let Some(deaths) = self.child.loops() {
            let what = format!("up for {HEALTHY_AFTER:?}, after {deaths} ends in a row");
            crate::say::warn(&format!("the enforcer stays up again: {what}"));
            self.record("enforcer steady", what, None, true);
        }
        self.child.deaths = 0;
    }

    fn answered(&mut self, generation: Generation) {
        if self
            .child
            .pending
            .take_if(|(pending, _)| *pending == generation)
            .is_some()
        {
            self.child.late = false;
        }
    }

    /// Gives the enforcer what it should have, once it listens.
    pub(super) fn send_target(&mut self) {
        if !self.child.ready {
            return;
        }
        let target = self.target();
        if let Some(enforcer) = &self.child.current {
            self.child.pending = Some((target.generation, Instant::now() + LOADED_WITHIN));
            enforcer.load(Arc::clone(&target));
        }
    }

    pub(super) fn check_deadlines(&mut self, now: Instant) {
        if self.child.ready_by.is_some_and(|by| by < now) {
            self.child.ready_by = None;
            crate::say::warn(&format!(
                "the enforcer is not ready after {READY_WITHIN:?}; it is killed"
            ));
            self.child.kill("it was not ready in time");
        }
        if let Some((generation, by)) = self.child.pending
            && by < now
            && !self.child.late
        {
            self.child.late = true;
            crate::say::warn(&format!(
                "the enforcer has not taken generation {generation} after {LOADED_WITHIN:?}"
            ));
            self.record(
                "reload late",
                format!("generation {generation}"),
                None,
                false,
            );
            self.claims_due();
        }
    }

    /// Everything is down until the next one is up; the launchers reset what is tried meanwhile.
    fn ended(&mut self, how: &str) {
        let child = &mut self.child;
        let healthy = child
            .loaded
            .is_some_and(|(_, since)| since.elapsed() >= HEALTHY_AFTER);
        let pending = child.pending.take().map(|(generation, _)| generation);
        let taking = pending.filter(|generation| !child.has(*generation));
        child.deaths = if healthy { 0 } else { child.deaths };
        let pause = BACK_OFF[child.deaths.min(BACK_OFF.len() - 1)];
        child.deaths += 1;
        let pid = child.pid();
        child.current = None;
        child.ready = false;
        child.ready_by = None;
        child.late = false;
        child.unanswered = 0;
        child.loaded = None;
        child.since = None;
        child.told = Told::default();
        child.gathering.clear();
        child.said.clear();
        let other = child.last_end.as_ref().is_none_or(|(_, last)| last != how);
        child.last_end = Some((Timestamp::now(), how.to_owned()));
        let who = pid
            .map(|pid| format!(" (process {pid})"))
            .unwrap_or_default();
        let wait = if pause.is_zero() {
            String::new()
        } else {
            format!(" in {pause:?}")
        };
        let deaths = child.deaths;
        if deaths < LOOP_SAID || other {
            crate::say::warn(&format!(
                "the enforcer{who} has ended: {how}; nothing passes until it is started again{wait}"
            ));
        }
        if deaths == LOOP_SAID {
            crate::say::warn(&format!(
                "the enforcer keeps ending, {deaths} times in a row; it is started again and again, at last every {:?}, and \
                 nothing passes meanwhile. This is said once, until it stays up or ends in another way\n= help: if it began \
                 with a new binary or configuration, go back to the one before; it says why it ends above",
                BACK_OFF[BACK_OFF.len() - 1]
            ));
        }
        self.record("enforcer ended", how.to_owned(), None, false);
        self.note_log(None);
        self.none_imposed();
        self.abandon_redacting(true);
        self.answer_all_questions();
        if let Some(generation) = taking {
            self.died_taking(generation, how);
        }
        self.inputs.send_after(pause, Input::StartEnforcer);
    }

    /// A generation that kills enforcers is not offered for ever.
    fn died_taking(&mut self, generation: Generation, how: &str) {
        let deaths = self.child.poisoned.entry(generation).or_default();
        *deaths += 1;
        let offered = self
            .offer
            .as_ref()
            .is_some_and(|offer| offer.generation == generation);
        if *deaths >= POISON_DEATHS && offered {
            self.not_taken(
                generation,
                &format!("it ended {POISON_DEATHS} times while taking it, last: {how}"),
            );
        }
    }
}
