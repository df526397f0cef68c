//! How the node stands: the status an operator asks for, the readiness line, and what makes it degraded.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::policy::count;
use super::{Supervisor, attest};
use crate::generation::Origin;
use crate::limits::{ADMIN_WITHIN, KILLED_AFTER, NOTES_UNBOUNDED, UNARMED_SAID};
use crate::metrics::Readings;
use crate::quarantine::Moment;
use crate::status::{
    Declared, Degraded, EnforcerState, EnforcerStatus, LogStatus, Policy, Status, Workload,
};
use ringfence_compartment::link::FromNode;
use ringfence_model::resource::ModeKind;
use ringfence_model::text::misleads;
use ringfence_model::{InstanceId, Kind, Name};

/// An operator who waits for fresh figures from the enforcer.
pub(super) struct Question {
    id: u64,
    until: Instant,
    answer: oneshot::Sender<Status>,
}

impl Supervisor {
    pub(super) fn status_asked(&mut self, answer: oneshot::Sender<Status>) {
        self.asked += 1;
        self.questions.push(Question {
            id: self.asked,
            until: Instant::now() + ADMIN_WITHIN,
            answer,
        });
        match self.child.serving() {
            Some(enforcer) if !self.child.hangs() => {
                enforcer.say(FromNode::AskStatus { id: self.asked });
            }
            _ => self.answer_all_questions(),
        }
    }

    /// Keeps what is known of the enforcer fresh, and notices when it stops answering.
    pub(super) fn ask_enforcer(&mut self) {
        let now = Instant::now();
        let (late, rest) = std::mem::take(&mut self.questions)
            .into_iter()
            .partition(|question: &Question| question.until < now);
        self.questions = rest;
        for question in late {
            let mut status = self.status();
            if !self.child.hangs() && self.child.is_loaded() {
                status.enforcer.state = EnforcerState::Hung;
                status.degraded.push(hung());
            }
            reply(question, status);
        }
        self.ask();
    }

    pub(super) fn answer_questions(&mut self, id: u64) {
        let (now, rest) = std::mem::take(&mut self.questions)
            .into_iter()
            .partition(|question: &Question| question.id <= id);
        self.questions = rest;
        for question in now {
            reply(question, self.status());
        }
    }

    pub(super) fn answer_all_questions(&mut self) {
        self.answer_questions(u64::MAX);
    }

    /// Says when the log stops taking records, and when it takes them again.
    pub(super) fn note_log(&mut self, trouble: Option<String>) {
        if self.log_trouble.is_some() == trouble.is_some() {
            self.log_trouble = trouble;
            return;
        }
        match &trouble {
            Some(trouble) => crate::say::warn(&format!(
                "the flow log takes nothing: {trouble}; every new attempt is denied until it does"
            )),
            None if self.child.is_loaded() => crate::say::warn("the flow log takes records again"),
            None => {}
        }
        self.log_trouble = trouble;
    }

    /// The one line on standard output that says the node serves. Printed once.
    pub(super) fn announce(&mut self) {
        if std::mem::replace(&mut self.announced, true) {
            return;
        }
        let (fixed, serving) = (&self.fixed, &self.serving);
        let run = format!("ringfence run{} NAME -- CMD", fixed.state_option);
        let figures = format!(
            "generation {}, {}, {}",
            serving.generation,
            count(serving.estate.services.len(), "service"),
            count(serving.estate.agents.len(), "agent"),
        );
        let state = fixed.state.display();
        let line = match serving.origin {
            Origin::Config => format!("ringfence is up: {figures} · state {state} · next: {run}"),
            Origin::LastGood => format!(
                "ringfence is up: {figures}, last good of an earlier run, the files are rejected · state {state} · \
                 next: mend {}",
                fixed.config.display()
            ),
            Origin::Nothing => format!(
                "ringfence is up: denying everything, no valid configuration · state {state} · next: mend {}",
                fixed.config.display()
            ),
        };
        // One line, whatever the directories are called.
        let line: String = line
            .chars()
            .map(|c| if misleads(c) { '\u{fffd}' } else { c })
            .collect();
        let mut out = std::io::stdout();
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            crate::say::warn(&format!("{line}\n(standard output is closed: {error})"));
        }
    }

    fn status(&self) -> Status {
        let (fixed, serving, child) = (&self.fixed, &self.serving, &self.child);
        Status {
            node: fixed.node.clone(),
            zone: fixed.zone.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: fixed.since,
            state: fixed.state.clone(),
            config: fixed.config.clone(),
            metrics: fixed.metrics.clone(),
            policy: Policy {
                generation: serving.generation,
                origin: serving.origin,
                since: self.in_force_since,
                digest: serving.digest.clone(),
                services: serving.estate.services.len(),
                agents: serving.estate.agents.len(),
                policies: serving.estate.policies.len(),
                rejected: self.rejected.clone(),
            },
            enforcer: EnforcerStatus {
                state: self.enforcer_state(),
                pid: child.pid(),
                since: child.since,
                serving: child.is_loaded(),
                restarts: child.restarts(),
                last_end: child.last_end.as_ref().map(|(_, how)| how.clone()),
                last_end_at: child.last_end.as_ref().map(|(at, _)| *at),
                connections: child.told.connections,
            },
            log: LogStatus {
                dir: fixed.log.clone(),
                head: child.told.log_head,
                bytes: child.told.log_bytes,
                reserved: child.told.log_room,
                free: free(&fixed.log),
                trouble: self.log_trouble.clone(),
                lost: child.told.log_lost.clone(),
                durability: fixed.durability.as_str().to_owned(),
                signed: fixed.evidence.upto(),
                unsigned: fixed.evidence.trouble(),
                sealed: fixed.sealed.upto(),
                unsealed: fixed.sealed.trouble(),
            },
            estate: self.estate(),
            quarantined: self.quarantines.shown(&Moment::now()),
            workloads: self.workloads(),
            notes: self.notes(),
            degraded: self.degraded(),
        }
    }

    /// How it goes, in one line: what is wrong first.
    pub(super) fn line(&self) -> String {
        let well = format!(
            "generation {}, {}",
            self.serving.generation,
            count(self.instances.iter().count(), "workload")
        );
        match self.degraded().first() {
            Some(first) => format!("degraded: {}; {well}", first.reason),
            None => well,
        }
    }

    pub(super) fn enforcer_state(&self) -> EnforcerState {
        let child = &self.child;
        match child.pid() {
            None => EnforcerState::Away,
            Some(_) if !child.is_loaded() => EnforcerState::Starting,
            Some(_) if child.hangs() => EnforcerState::Hung,
            Some(_) => EnforcerState::Running,
        }
    }

    /// Who is declared, and how many of each run.
    fn estate(&self) -> Vec<Declared> {
        let mut running: BTreeMap<&Name, usize> = BTreeMap::new();
        for (_, instance) in self.instances.iter() {
            *running.entry(&instance.workload.name).or_default() += 1;
        }
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let estate = &self.serving.estate;
        let agents = estate.agents.iter();
        let agents = agents.map(|agent| (Kind::Agent, &agent.name, false));
        let services = estate.services.iter();
        let services =
            services.map(|service| (Kind::Service, &service.name, !service.endpoints.is_empty()));
        let mut all: Vec<Declared> = agents
            .chain(services)
            .map(|(kind, name, endpoints)| {
                let mut policies = estate.policies.iter();
                let policy = policies
                    .find(|policy| policy.subject.kind == kind && policy.subject.name == *name);
                let softened = policy.and_then(|policy| policy.mode.window());
                let softens = softened.is_some_and(|(first, last)| first <= today && today <= last);
                Declared {
                    kind,
                    name: name.clone(),
                    instances: running.get(name).copied().unwrap_or(0),
                    endpoints,
                    mode: policy.map(|policy| match softens {
                        true => policy.mode.kind,
                        false => ModeKind::Enforce,
                    }),
                    mode_until: policy.and_then(|policy| policy.mode.until),
                    review_by: policy.and_then(|policy| policy.review_by),
                    quarantined: self.quarantines.get(name).is_some(),
                    review_overdue: policy.is_some_and(|policy| policy.overdue(today).is_some()),
                }
            })
            .collect();
        all.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        all
    }

    /// What a monitor is told: what is known at this moment.
    pub(super) fn readings(&self) -> Readings {
        let told = &self.child.told;
        Readings {
            status: Box::new(self.status()),
            figures: told.log_head.is_some().then(|| told.figures.clone()),
            counts: self.counts,
        }
    }

    fn workloads(&self) -> Vec<Workload> {
        let estate = &self.serving.estate;
        let known = |name: &Name| {
            estate.agents.iter().any(|agent| agent.name == *name)
                || estate.services.iter().any(|service| service.name == *name)
        };
        self.instances
            .iter()
            .map(|(id, instance)| {
                (
                    id,
                    instance,
                    self.child.said.get(id).cloned().unwrap_or_default(),
                )
            })
            .map(|(id, instance, said)| Workload {
                instance: id.clone(),
                kind: instance.workload.kind,
                name: instance.workload.name.clone(),
                uid: instance.uid,
                compartment_uid: instance.outer_id.unwrap_or(instance.uid),
                pid: instance.process.pid,
                command: instance.command.clone(),
                since: instance.since,
                checked: instance.checked.to_string(),
                armed: self.child.told.armed.contains_key(id),
                connections: self
                    .child
                    .told
                    .armed
                    .get(id)
                    .map_or(0, |facts| facts.connections),
                version: said.version,
                walls: said.walls,
                unbounded: said.unbounded,
                connected: self.links.contains_key(id),
                known: known(&instance.workload.name),
            })
            .collect()
    }

    /// An instance that is not armed is closed in. For a moment that is how it starts; for longer, somebody should know.
    pub(super) fn note_unarmed(&mut self) {
        let armed = &self.child.told.armed;
        let without: BTreeSet<InstanceId> = self
            .instances
            .iter()
            .map(|(id, _)| id)
            .filter(|id| !armed.contains_key(id))
            .cloned()
            .collect();
        self.unarmed.retain(|id, _| without.contains(id));
        for id in without {
            self.unarmed.entry(id).or_insert_with(Instant::now);
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.fixed.owner.0 != 0 {
            notes.push(
                "this node is not root's: launchers, enforcer and workloads share one host user, and `attest.uid` of \
                 other users cannot be met"
                    .to_owned(),
            );
        }
        notes.extend(attest::unproven(
            &self.serving.estate,
            self.fixed.owner,
            self.fixed.group,
        ));
        if self.fixed.owner.0 == 0 && !self.fixed.outer_ids {
            notes.push(
                "this user namespace has few ids: enforcer and workloads started by root share root's id outside"
                    .to_owned(),
            );
        }
        let said = self.child.said.values();
        let unbounded: BTreeSet<&String> = said.flat_map(|said| &said.unbounded).collect();
        let unbounded = unbounded.into_iter().take(NOTES_UNBOUNDED);
        notes.extend(unbounded.map(|what| format!("in compartments here, {what}")));
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let policies = &self.serving.estate.policies;
        notes.extend(policies.iter().filter_map(|policy| policy.overdue(today)));
        notes
    }

    /// What to do where something is not written down.
    fn make_room(&self) -> String {
        format!(
            "make room in {}, or look after its disk",
            self.fixed.state.display()
        )
    }

    fn degraded(&self) -> Vec<Degraded> {
        let mut reasons = Vec::new();
        if let Some(trouble) = &self.log_trouble {
            reasons.push(Degraded::new(
                format!("the flow log takes nothing: {trouble}; every new attempt is denied"),
                self.make_room(),
            ));
        }
        if let Some(lost) = &self.child.told.log_lost {
            reasons.push(Degraded::new(
                records_lost(lost),
                format!(
                    "look after the disk of {}; the log says so in their places, and a restart of the node ends this notice",
                    self.fixed.log.display()
                ),
            ));
        }
        if let Some(trouble) = self.fixed.evidence.trouble() {
            reasons.push(Degraded::new(
                format!("the flow log is not signed any further: {trouble}"),
                "run `ringfence audit verify` and keep the log directory as it is for whoever looks into it",
            ));
        }
        if let Some(trouble) = self.fixed.sealed.trouble() {
            reasons.push(Degraded::new(
                format!("the flow log is not sealed any further: {trouble}"),
                format!(
                    "make room in {}, or mend what it says; records stay readable, and segments stay until they are sealed",
                    self.fixed.log.display()
                ),
            ));
        }
        let how = self
            .child
            .last_end
            .as_ref()
            .map(|(_, end)| format!(" (the last one: {end})"))
            .unwrap_or_default();
        if let Some(deaths) = self.child.loops() {
            reasons.push(Degraded::new(
                format!("the enforcer keeps ending, {deaths} times in a row{how}; nothing passes while it is away"),
                "if it began with a new binary or configuration, go back to the one before; `ringfence up` says why it ends",
            ));
        } else if !self.child.is_loaded() {
            reasons.push(Degraded::new(
                format!("the enforcer is not up{how}; nothing passes"),
                "it is started again by itself; what it says is on the standard error of `ringfence up`",
            ));
        } else if self.child.hangs() {
            reasons.push(hung());
        } else if self.child.is_late() {
            reasons.push(Degraded::new(
                format!(
                    "the enforcer has not taken generation {} yet",
                    self.target().generation
                ),
                "wait, or end it with `kill -9`: it is started again within a second",
            ));
        }
        if let Some(rejected) = &self.rejected {
            let first = rejected
                .errors
                .first()
                .and_then(|error| error.lines().next())
                .unwrap_or_default();
            let more = match rejected.errors.len() {
                0 | 1 => String::new(),
                errors => format!(" (and {} more)", errors - 1),
            };
            reasons.push(Degraded::new(
                format!("the configuration is rejected since {:.0}: {first}{more}", rejected.since),
                format!(
                    "see all of it with `ringfence policy lint --config {}`, and mend it; it is picked up when saved",
                    self.fixed.config.display()
                ),
            ));
        }
        let unarmed = self.unarmed.iter();
        let mut unarmed = unarmed.filter(|(_, since)| since.elapsed() >= UNARMED_SAID);
        if self.child.is_loaded()
            && let Some((first, _)) = unarmed.next()
        {
            let more = match unarmed.count() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            reasons.push(Degraded::new(
                format!(
                    "{first}{more} cannot be reached by the enforcer: everything tried there is reset"
                ),
                "`ringfence observe` says why (`compartment put out`, `claim refused`); a workload that an earlier version \
                 started may have to be started again",
            ));
        }
        if let Some(trouble) = &self.unkept {
            reasons.push(Degraded::new(
                format!(
                    "generation {} is not kept for a later start: {trouble}",
                    self.serving.generation
                ),
                self.make_room(),
            ));
        }
        if let Some(trouble) = &self.quarantines.unkept {
            reasons.push(Degraded::new(
                format!("who is in quarantine is not written down: {trouble}; it is in force, and a restart would go by what was written before"),
                self.make_room(),
            ));
        }
        if let Some(unsettled) = &self.unsettled
            && !unsettled.said.is_empty()
        {
            reasons.push(Degraded::new(
                format!(
                    "the configuration is not taken since {:.0}: {}",
                    unsettled.since, unsettled.said
                ),
                unsettled.unrest.fix(),
            ));
        }
        if self.serving.origin == Origin::Nothing {
            reasons.push(Degraded::new(
                "no policy is in force: everything is denied",
                format!(
                    "put a valid configuration into {}",
                    self.fixed.config.display()
                ),
            ));
        }
        reasons
    }
}

/// Bytes that those who are not root can still write there.
fn free(dir: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What is said of lost records, `lost` by their numbers.
pub(super) fn records_lost(lost: &str) -> String {
    format!("records {lost} of the flow log are lost: its disk failed, and memory had them no more")
}

fn hung() -> Degraded {
    Degraded::new(
        "the enforcer does not answer; nothing new passes while it hangs",
        format!("wait: after {KILLED_AFTER} s without an answer it is killed and started again"),
    )
}

fn reply(question: Question, status: Status) {
    // Whoever asked may have hung up.
    let _ = question.answer.send(status);
}
