//! The one task that holds the node's state. Everything else runs beside it and sends it [`Input`]s, one at a time.
//!
//! Start reading at [`Supervisor::take`]; what it does about policy, enforcer and launchers is in the files below.

mod attest;
mod child;
mod drill;
mod groups;
mod launchers;
mod policy;
mod quarantine;
mod redaction;
mod report;
#[cfg(test)]
mod tests;

pub(crate) use policy::count;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ringfence_audit::{Durability, Seq};
use ringfence_compartment::link::{Event, FromNode};
use ringfence_model::{HostName, InstanceId, Name};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::cgroup::Prefix;
use crate::claim::Owner;
use crate::containment::Wish;
use crate::enclosing::Enclosed;
use crate::enforcer::{EnforcerNews, Epoch};
use crate::generation::{Attempt, Desk, Serving};
use crate::ids::IdMap;
use crate::instances::Instances;
use crate::limits::{
    ENFORCER_BACKLOG, EVENT_TEXT, EVENTS_KEPT, INSTANCES_MAX, PROGRAMS_AT_A_TIME, STOP_WITHIN,
};
use crate::manager::Manager;
use crate::metrics::{Counts, Readings};
use crate::porter::Porters;
use crate::quarantine::{Asker, Quarantines};
use crate::redaction::RedactWish;
use crate::refusals::Refusals;
use crate::run_socket::{Claim, Departure, Stranger};
use crate::sealing::{self, Order, Orders, PruneWish};
use crate::status::{Rejected, Status};
use crate::told::Told;
use crate::vouch::LauncherGroup;

// What a fresh enforcer is told at once must not look like one that does not read. Beside these: its policy, and a few
// events of that moment.
const _: () = assert!(ENFORCER_BACKLOG >= EVENTS_KEPT + INSTANCES_MAX + 1024);

/// Something the supervisor has to deal with.
pub(crate) enum Input {
    /// The configuration may have changed.
    Changed,
    /// Somebody asks that it be read, and wants to know when that is done.
    Reload,
    /// The pause after a configuration that was not whole is over; with the number of that look.
    LookAgain(u32),
    /// A read of the configuration is done.
    Read(Box<Desk>, Attempt),
    /// The enforcer said something, or ended.
    Enforcer(Epoch, EnforcerNews),
    /// The pause before the next start of the enforcer is over.
    StartEnforcer,
    /// A launcher wants to be a workload.
    Claim(Claim),
    /// A claim could not even be decided.
    Stranger(Stranger),
    /// A compartment has a control group.
    Enclosed(Enclosed),
    /// A launcher's connection has ended.
    Departed(Departure),
    /// Somebody asked as an operator who is none.
    Uninvited { by: Asker, wanted: &'static str },
    /// An operator wants a workload out, or back.
    Contain(Wish, Asker, quarantine::Answer),
    /// Segments whose records all come before this one are sealed.
    Sealed(Seq),
    /// An operator wants records pruned.
    Prune(PruneWish, Asker, sealing::Answer),
    /// Records were pruned: which, and on whose word.
    Pruned(String),
    /// An operator wants values of the log redacted.
    Redact(RedactWish, Asker, redaction::Answer),
    /// An operator wants the workloads of a drill.
    Drill(drill::Answer),
    /// That operator is done, or gone.
    DrillOver,
    /// An operator asks.
    Status(oneshot::Sender<Status>),
    /// A monitor asks.
    Metrics(oneshot::Sender<Readings>),
    /// A second has passed.
    Tick,
    /// Stop, for the reason that follows "stopping".
    Stop(String),
}

/// The way to the supervisor.
#[derive(Clone)]
pub(crate) struct Inputs(pub(crate) mpsc::Sender<Input>);

impl Inputs {
    /// Waits for room: whoever floods the supervisor waits for it.
    pub(crate) async fn send(&self, input: Input) {
        // Closed only when the node is on its way out, and nothing matters to it any more.
        let _ = self.0.send(input).await;
    }

    /// The same from a thread that is not one of the runtime's.
    pub(crate) fn tell(&self, input: Input) {
        // Closed only when the node is on its way out, and nothing matters to it any more.
        let _ = self.0.blocking_send(input);
    }

    fn send_after(&self, pause: Duration, input: Input) {
        let inputs = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            inputs.send(input).await;
        });
    }
}

/// What does not change while a node runs.
pub(crate) struct Fixed {
    pub(crate) node: String,
    pub(crate) zone: HostName,
    pub(crate) state: PathBuf,
    /// Device and inode of the state directory.
    pub(crate) state_id: (u64, u64),
    /// Where the flow log is.
    pub(crate) log: PathBuf,
    /// When its records count as kept.
    pub(crate) durability: Durability,
    /// How far it is signed.
    pub(crate) evidence: Told,
    /// How far it is sealed.
    pub(crate) sealed: Told,
    /// Who seals and prunes it.
    pub(crate) sealing: Orders,
    pub(crate) config: PathBuf,
    pub(crate) sockets: PathBuf,
    /// Where monitors ask: a path, perhaps a URL.
    pub(crate) metrics: Vec<String>,
    /// The program of enforcers and porters.
    pub(crate) exe: PathBuf,
    pub(crate) enforcer_args: Vec<OsString>,
    /// User of the enforcer and of porters, if not the node's own.
    pub(crate) run_as: Option<u32>,
    pub(crate) owner: Owner,
    /// What vouches for launchers of other users.
    pub(crate) group: LauncherGroup,
    /// How control groups of its compartments are called.
    pub(crate) groups: Prefix,
    /// Whether compartments of root's launchers can get ids of their own.
    pub(crate) outer_ids: bool,
    /// What to append to commands that are suggested, such as ` --state DIR`.
    pub(crate) state_option: String,
    pub(crate) since: Timestamp,
    /// The process that this node replaced.
    pub(crate) predecessor: Option<u32>,
}

/// The node's state.
pub(crate) struct Supervisor {
    fixed: Fixed,
    inputs: Inputs,
    /// Away while it reads.
    desk: Option<Box<Desk>>,
    read_again: bool,
    /// The configuration is not whole.
    unsettled: Option<policy::Unsettled>,
    /// Files outside the configuration directory that a change must be looked for at.
    watched: tokio::sync::watch::Sender<Vec<PathBuf>>,
    /// What was last taken by an enforcer; at first, nothing.
    serving: Arc<Serving>,
    /// When an enforcer first took it.
    in_force_since: Option<Timestamp>,
    /// Sent, or to be sent, and not yet taken.
    offer: Option<Arc<Serving>>,
    /// What to offer when the first offer is not taken.
    fallback: Option<Arc<Serving>>,
    rejected: Option<Rejected>,
    /// What is in force could not be kept for a later start, and why.
    unkept: Option<String>,
    child: child::Child,
    instances: Instances,
    quarantines: Quarantines,
    drill: Option<drill::Drill>,
    /// What the enforcer has not confirmed yet.
    imposing: Vec<quarantine::Imposing>,
    redacting: Vec<redaction::Redacting>,
    /// In quarantine, and not named by policy in force.
    strays: BTreeSet<Name>,
    links: BTreeMap<InstanceId, launchers::Link>,
    porters: Porters,
    waiting: Vec<launchers::Waiting>,
    /// Control groups of compartments that have ended, in which something is still ending.
    ending: Vec<PathBuf>,
    /// Since when running instances have no doors with the enforcer.
    unarmed: BTreeMap<InstanceId, Instant>,
    /// User and process of those who were told of already.
    strangers: BTreeSet<(u32, i32)>,
    refusals: Refusals,
    /// The same of who asked as an operator and is none.
    uninvited: Refusals,
    /// Places for looking at programs.
    looks: Arc<Semaphore>,
    events: VecDeque<FromNode>,
    events_lost: u64,
    questions: Vec<report::Question>,
    asked: u64,
    log_trouble: Option<String>,
    counts: Counts,
    announced: bool,
    manager: Manager,
}

impl Supervisor {
    pub(crate) fn new(
        fixed: Fixed,
        inputs: Inputs,
        desk: Desk,
        nothing: Serving,
        (instances, quarantines): (Instances, Quarantines),
        watched: tokio::sync::watch::Sender<Vec<PathBuf>>,
    ) -> Self {
        Self {
            porters: Porters::new(fixed.exe.clone(), fixed.run_as),
            fixed,
            inputs,
            desk: Some(Box::new(desk)),
            read_again: false,
            unsettled: None,
            watched,
            serving: Arc::new(nothing),
            in_force_since: None,
            offer: None,
            fallback: None,
            rejected: None,
            unkept: None,
            child: child::Child::default(),
            instances,
            quarantines,
            drill: None,
            imposing: Vec::new(),
            redacting: Vec::new(),
            strays: BTreeSet::new(),
            links: BTreeMap::new(),
            waiting: Vec::new(),
            ending: Vec::new(),
            unarmed: BTreeMap::new(),
            strangers: BTreeSet::new(),
            refusals: Refusals::of("claims"),
            uninvited: Refusals::of("questions"),
            looks: Arc::new(Semaphore::new(PROGRAMS_AT_A_TIME)),
            events: VecDeque::new(),
            events_lost: 0,
            questions: Vec::new(),
            asked: 0,
            log_trouble: None,
            counts: Counts::default(),
            announced: false,
            manager: Manager::of_this_process(),
        }
    }

    /// Deals with inputs until told to stop, and then sees the enforcer out.
    pub(crate) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let version = env!("CARGO_PKG_VERSION");
        let started = match self.fixed.predecessor {
            Some(pid) => format!("version {version}, took over from process {pid}"),
            None => format!("version {version}"),
        };
        self.record("node started", started, None, true);
        self.start_reading();
        let why = loop {
            match inputs.recv().await {
                Some(Input::Stop(why)) => break why,
                Some(input) => {
                    self.take(input);
                    self.tell_manager();
                }
                None => break "at the end of all inputs".to_owned(),
            }
        };
        self.stop(&why, &mut inputs).await;
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Changed => self.start_reading(),
            Input::Reload => {
                self.manager.reloading();
                self.start_reading();
            }
            Input::LookAgain(look) => self.look_again(look),
            Input::Read(desk, attempt) => self.read_done(desk, attempt),
            Input::Enforcer(epoch, news) => self.heard(epoch, news),
            Input::StartEnforcer => self.start_enforcer(),
            Input::Claim(claim) => self.claim(claim),
            Input::Stranger(stranger) => self.stranger(&stranger),
            Input::Enclosed(enclosed) => self.enclosed(enclosed),
            Input::Departed(departure) => self.departed(&departure),
            Input::Uninvited { by, wanted } => self.uninvited(&by, wanted),
            Input::Contain(wish, by, answer) => self.contain(&wish, by, answer),
            Input::Sealed(before) => self.release_segments(before),
            Input::Prune(wish, by, answer) => {
                self.fixed.sealing.put(Order { wish, by, answer });
            }
            Input::Pruned(reason) => self.record("prune", reason, None, true),
            Input::Redact(wish, by, answer) => self.redact(&wish, &by, answer),
            Input::Drill(answer) => self.begin_drill(answer),
            Input::DrillOver => self.end_drill(),
            Input::Status(answer) => self.status_asked(answer),
            // Who asked may have hung up.
            Input::Metrics(answer) => drop(answer.send(self.readings())),
            Input::Tick => self.tick(),
            Input::Stop(_) => {}
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.check_state();
        self.end_quarantines();
        self.check_imposing();
        self.abandon_redacting(false);
        self.keep_again();
        self.keep_quarantines_again();
        self.steady();
        self.note_unarmed();
        self.check_deadlines(now);
        self.expire_claims(now);
        self.record_refusals(Some(now));
        self.sweep_instances();
        self.end_groups();
        self.porters.sweep();
        self.ask_enforcer();
        let line = self.line();
        self.manager.status(&line);
    }

    /// Once it serves, and whenever a reload has come to its end.
    fn tell_manager(&mut self) {
        let waits = self
            .unsettled
            .as_ref()
            .is_some_and(policy::Unsettled::is_new);
        let reads = self.desk.is_none() || self.offer.is_some() || waits;
        if self.announced && (!self.manager.is_ready() || !reads) {
            self.manager.ready();
        }
    }

    /// The lock is on the directory that was there at the start. Under another one of its name a second node could serve.
    fn check_state(&self) {
        use std::os::unix::fs::MetadataExt;
        let state = &self.fixed.state;
        let there = match std::fs::metadata(state) {
            Ok(meta) => Some((meta.dev(), meta.ino())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            // Not an answer, as of a file server that is away for a while.
            Err(_) => return,
        };
        if there != Some(self.fixed.state_id) {
            let why = format!(
                "because the state directory {} was moved away",
                state.display()
            );
            self.inputs.send_after(Duration::ZERO, Input::Stop(why));
        }
    }

    /// Records something the node did. Kept until an enforcer can write it.
    fn record(&mut self, operation: &str, reason: String, subject: Option<String>, ok: bool) {
        let event = FromNode::Event(event(operation, reason, subject, ok));
        if let Some(enforcer) = self.child.serving() {
            enforcer.say(event);
            return;
        }
        if self.events.len() >= EVENTS_KEPT {
            self.events.pop_front();
            self.events_lost += 1;
        }
        self.events.push_back(event);
    }

    /// The enforcer alone may remove what it wrote. It is told again and again until it has.
    fn release_segments(&mut self, before: Seq) {
        if let Some(enforcer) = self.child.serving()
            && !self.child.hangs()
        {
            enforcer.say(FromNode::Release { before: before.0 });
        }
    }

    fn flush_events(&mut self) {
        let lost = std::mem::take(&mut self.events_lost);
        for event in std::mem::take(&mut self.events) {
            if let Some(enforcer) = self.child.serving() {
                enforcer.say(event);
            }
        }
        if lost > 0 {
            self.record(
                "events lost",
                format!("{lost} events while no enforcer could record them"),
                None,
                false,
            );
        }
    }

    async fn stop(&mut self, why: &str, inputs: &mut mpsc::Receiver<Input>) {
        crate::say::warn(&format!("stopping {why}"));
        self.manager.stopping();
        self.record_refusals(None);
        self.keep_quarantines_again();
        self.record("node stopped", why.to_owned(), None, true);
        if let Err(error) = self.instances.store() {
            crate::say::warn(&format!(
                "the table of instances cannot be written: {error}"
            ));
        }
        let Some(epoch) = self.child.ask_to_stop() else {
            return;
        };
        let deadline = Instant::now() + STOP_WITHIN;
        loop {
            match tokio::time::timeout_at(deadline, inputs.recv()).await {
                Ok(Some(Input::Enforcer(from, EnforcerNews::Ended(_)))) if from == epoch => return,
                Ok(Some(Input::Stop(_))) | Err(_) => break,
                Ok(Some(_)) => {}
                Ok(None) => return,
            }
        }
        crate::say::warn("the enforcer does not stop; it is killed");
        self.child.kill("it does not stop");
        // Its end is certain now; only its report is waited for.
        while let Ok(Some(input)) = tokio::time::timeout(STOP_WITHIN, inputs.recv()).await {
            if matches!(input, Input::Enforcer(from, EnforcerNews::Ended(_)) if from == epoch) {
                return;
            }
        }
    }
}

/// Whether compartments of a root node can be given ids of their own here.
pub(crate) fn outer_ids_exist(uids: &IdMap, gids: &IdMap) -> bool {
    use crate::limits::{OUTER_ID_FIRST, OUTER_IDS};
    uids.covers(OUTER_ID_FIRST, OUTER_IDS) && gids.covers(OUTER_ID_FIRST, OUTER_IDS)
}

/// Something the node did, fit for a message.
fn event(operation: &str, reason: String, subject: Option<String>, ok: bool) -> Event {
    Event {
        operation: operation.to_owned(),
        reason: bounded(reason),
        subject: subject.map(bounded),
        ok,
    }
}

/// A text of others that goes into a message, whatever the escaping of JSON makes of it: one that does not fit would
/// break the enforcer's channel.
fn bounded(mut text: String) -> String {
    if text.len() > EVENT_TEXT {
        let cut = (0..=EVENT_TEXT - '…'.len_utf8())
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or_default());
        text.push('…');
    }
    text
}
