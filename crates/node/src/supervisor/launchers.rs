//! Launchers: their claims decided, their channels to the enforcer made, their departures noted.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ringfence_compartment::channel;
use ringfence_compartment::link::{Grant, Rehearsal};
use ringfence_model::InstanceId;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{Input, Supervisor};
use crate::claim::{self, Checked, Claimant, Claimed, Decision, Program, Refusal};
use crate::enforcer::Epoch;
use crate::generation::Origin;
use crate::instances::Instance;
use crate::limits::{ENFORCER_WAIT, INSTANCES_KEPT, PROGRAM_WITHIN, STRANGERS_MAX};
use crate::porter::{Porter, Porters};
use crate::quarantine::Asker;
use crate::run_socket::{Answer, Claim, ConnectionId, Departure, Stranger};
use crate::{bounds, cgroup, program};

/// A connected launcher.
pub(super) struct Link {
    connection: ConnectionId,
    handed: mpsc::Sender<OwnedFd>,
    /// Which enforcer it has a channel to.
    made_for: Option<Epoch>,
    /// On the way of that channel, where the launcher is another user's.
    _porter: Option<Porter>,
}

/// A claim that waits for the enforcer.
pub(super) struct Waiting {
    claim: Claim,
    /// `None`: a resumed one, whose launcher resets everything meanwhile and can wait.
    until: Option<Instant>,
}

#[cfg(test)]
impl Waiting {
    pub(super) fn into_claim(self) -> Claim {
        self.claim
    }
}

/// What becomes of a claim that is not refused.
enum Admission {
    /// It is granted. `fresh` when the instance is a new one.
    Granted { grant: Grant, fresh: bool },
    /// It would be granted.
    Rehearsed(Rehearsal),
    /// The program must be looked at first, with its contents if `digest`.
    Look { digest: bool },
}

impl Supervisor {
    pub(super) fn claim(&mut self, claim: Claim) {
        let until = claim
            .resume
            .is_none()
            .then(|| Instant::now() + ENFORCER_WAIT);
        self.waiting.push(Waiting { claim, until });
        self.claims_due();
    }

    /// Decides the claims that wait, once the enforcer has what they are decided by.
    pub(super) fn claims_due(&mut self) {
        let settled = self.offer.is_none() || self.child.is_late();
        if !self.child.has(self.serving.generation) || !settled || self.child.hangs() {
            return;
        }
        for Waiting { claim, .. } in std::mem::take(&mut self.waiting) {
            self.decide(claim);
        }
    }

    pub(super) fn expire_claims(&mut self, now: Instant) {
        let (late, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting: &Waiting| waiting.until.is_some_and(|until| until < now));
        self.waiting = rest;
        for Waiting { claim, .. } in late {
            if self.tells(&claim) {
                self.counts.claims_refused += 1;
            }
            refuse(
                claim,
                Refusal::new(
                    "the enforcer is not up, or does not answer",
                    format!(
                        "`ringfence status{}` says why; try again when it is",
                        self.fixed.state_option
                    ),
                ),
            );
        }
    }

    fn decide(&mut self, mut claim: Claim) {
        match self.admit(&claim) {
            Ok(Admission::Granted { grant, fresh }) => {
                self.counts.claims_granted += 1;
                self.grant(&mut claim, grant, fresh);
            }
            Ok(Admission::Look { digest }) => self.look(claim, digest),
            // Who asked may have given up meanwhile.
            Ok(Admission::Rehearsed(it)) => drop(claim.answer.send(Ok(Answer::Rehearsed(it)))),
            Err(refusal) => {
                if self.tells(&claim) {
                    self.counts.claims_refused += 1;
                    let text = format!(
                        "{} (uid {}, process {}{})",
                        refusal.recorded(),
                        claim.claimant.uid,
                        claim.process.pid,
                        if claim.rehearsal { ", a rehearsal" } else { "" }
                    );
                    self.record_refusal(claim.claimant.uid, text, Some(claim.name.clone()));
                }
                refuse(claim, refusal);
            }
        }
    }

    /// Whether a refusal of this claim counts and is recorded. Rehearsals of other users are: each tells who may be
    /// whom. Those of root and the owner, whom everything is told anyhow, leave nothing behind.
    fn tells(&self, claim: &Claim) -> bool {
        !claim.rehearsal || !self.fixed.owner.trusts(claim.claimant.uid)
    }

    fn look(&self, claim: Claim, digest: bool) {
        self.look_within(PROGRAM_WITHIN, claim, digest);
    }

    /// Has the program of a claim looked at, and decides the claim anew afterwards.
    pub(super) fn look_within(&self, within: Duration, mut claim: Claim, digest: bool) {
        let (inputs, places) = (self.inputs.clone(), Arc::clone(&self.looks));
        let mut trusted = vec![0, self.fixed.owner.0];
        trusted.dedup();
        tokio::spawn(async move {
            let looked = timeout(within, async {
                let place = places.acquire_owned().await.ok()?;
                let shown = claim.shown.take()?;
                let look = move || {
                    let seen = program::look(&shown, digest, &trusted);
                    // Held by the thread: one that hangs in a dead file system keeps its place.
                    drop(place);
                    seen
                };
                tokio::task::spawn_blocking(look).await.ok()
            });
            let late = || Err(format!("it could not be read within {within:?}"));
            claim.program = Program::Seen(looked.await.ok().flatten().unwrap_or_else(late));
            inputs.send(Input::Claim(claim)).await;
        });
    }

    /// Whether the claim is granted.
    fn admit(&mut self, claim: &Claim) -> Result<Admission, Refusal> {
        if self.serving.origin == Origin::Nothing {
            return Err(Refusal::new(
                "no policy is in force on this node: everything is denied",
                format!(
                    "mend the configuration; `ringfence status{}` says what is wrong",
                    self.fixed.state_option
                ),
            ));
        }
        let estate = &self.serving.estate;
        let uid = claim.claimant.uid;
        let held = match &claim.resume {
            Some(id) => Some(
                self.instances
                    .resume(id, &claim.name, uid, claim.process)?
                    .clone(),
            ),
            None => None,
        };
        // What runs already was looked at when it was started; it is what it was.
        let program = match &held {
            Some(held) => &held.checked.program(),
            None => &claim.program,
        };
        let decision = claim::check(
            estate,
            &self.serving.addresses,
            self.fixed.owner,
            &Claimant {
                vouched: claim.claimant.vouched || held.is_some(),
                ..claim.claimant.clone()
            },
            program,
            &claim.name,
        )?;
        let (claimed, checked) = match decision {
            Decision::Granted(claimed, checked) => (*claimed, checked),
            Decision::Look { digest } => return Ok(Admission::Look { digest }),
        };
        let pinned = checked.exe.is_some();
        if claim.rehearsal {
            return self.rehearse(claim, claimed, &checked);
        }
        let (instance, outer_id, fresh) = match (&claim.resume, held) {
            (Some(id), Some(held)) => (id.clone(), held.outer_id, false),
            _ => {
                let outer_id = if uid == 0 && self.fixed.outer_ids {
                    let id = self.instances.outer_id();
                    Some(id.ok_or_else(no_outer_id)?)
                } else {
                    None
                };
                let instance = Instance {
                    workload: claimed.workload.clone(),
                    uid,
                    process: claim.process,
                    outer_id,
                    command: claim.command.clone(),
                    since: Timestamp::now(),
                    checked,
                    group: None,
                };
                let kept = self.kept_instances(uid);
                let id = self.instances.grant(instance, kept)?;
                (id, outer_id, true)
            }
        };
        let quarantined = self.quarantines.get(&claimed.workload.name).is_some();
        let grant = Grant {
            instance,
            fqdn: format!("{}.{}", claimed.workload.name, self.fixed.zone),
            workload: claimed.workload,
            address: claimed.address,
            outer_id,
            filesystem: claimed.filesystem,
            forbidden: self.forbidden(),
            generation: self.serving.generation,
            pinned,
            bounds: bounds::of(claimed.limits),
            quarantined,
            encloses: fresh,
        };
        Ok(Admission::Granted { grant, fresh })
    }

    /// What the grant of a claim that may be would say, without giving anything away.
    fn rehearse(
        &self,
        claim: &Claim,
        claimed: Claimed,
        checked: &Checked,
    ) -> Result<Admission, Refusal> {
        let own_user = claim.claimant.uid == 0 && self.fixed.outer_ids;
        if own_user && !self.instances.has_outer_id() {
            return Err(no_outer_id());
        }
        let kept = self.kept_instances(claim.claimant.uid);
        self.instances.room_for(&claimed.workload, kept)?;
        let quarantined = self.quarantines.get(&claimed.workload.name).is_some();
        Ok(Admission::Rehearsed(Rehearsal {
            quarantined,
            fqdn: format!("{}.{}", claimed.workload.name, self.fixed.zone),
            workload: claimed.workload,
            address: claimed.address,
            own_user,
            filesystem: claimed.filesystem,
            forbidden: self.forbidden(),
            generation: self.serving.generation,
            checked: checked.to_string(),
            pinned: checked.exe.is_some(),
            enclosure: cgroup::foresee(claim.process.pid, bounds::of(claimed.limits)),
        }))
    }

    /// How many places a launcher of `uid` leaves to others.
    fn kept_instances(&self, uid: u32) -> usize {
        match self.fixed.owner.trusts(uid) {
            true => 0,
            false => INSTANCES_KEPT,
        }
    }

    /// What no compartment may be given: whoever writes there writes policy, or the record of what happened.
    fn forbidden(&self) -> Vec<std::path::PathBuf> {
        let fixed = &self.fixed;
        let mut paths = vec![
            fixed.state.clone(),
            fixed.config.clone(),
            fixed.sockets.clone(),
        ];
        paths.extend(std::fs::canonicalize(&fixed.config));
        paths.sort();
        paths.dedup();
        paths
    }

    fn grant(&mut self, claim: &mut Claim, grant: Grant, fresh: bool) {
        let id = grant.instance.clone();
        let name = grant.workload.name.to_string();
        let (answer, _) = tokio::sync::oneshot::channel();
        let answer = std::mem::replace(&mut claim.answer, answer);
        if answer.send(Ok(Answer::Granted(grant))).is_err() {
            // Its task is gone; nobody would ever report its departure.
            if fresh {
                self.instances.remove(&id);
            }
            return;
        }
        self.store_instances();
        // An earlier connection of the same launcher is cut by this.
        let link = Link {
            connection: claim.connection,
            handed: claim.links.clone(),
            made_for: None,
            _porter: None,
        };
        self.links.insert(id.clone(), link);
        let what = if fresh {
            "workload started"
        } else {
            "workload resumed"
        };
        let checked = self.instances.get(&id).map(|held| held.checked.to_string());
        let reason = format!(
            "{id}, uid {}, process {}: {}; checked: {}",
            claim.claimant.uid,
            claim.process.pid,
            claim.command,
            checked.unwrap_or_default()
        );
        self.record(what, reason, Some(name), true);
        self.make_link(&id);
    }

    /// Makes the channels that the enforcer of this moment does not have yet.
    pub(super) fn links_due(&mut self) {
        let ids: Vec<InstanceId> = self.links.keys().cloned().collect();
        for id in ids {
            self.make_link(&id);
        }
    }

    fn make_link(&mut self, id: &InstanceId) {
        let (Some(enforcer), Some(link), Some(instance)) = (
            self.child.serving(),
            self.links.get_mut(id),
            self.instances.get(id),
        ) else {
            return;
        };
        if link.made_for == Some(enforcer.epoch) {
            return;
        }
        let shared = !self.fixed.owner.trusts(instance.uid);
        let porters = shared.then_some(&self.porters);
        match channel_between(porters, instance.uid) {
            Ok(ends) => {
                link.made_for = Some(enforcer.epoch);
                link._porter = ends.porter;
                if link.handed.try_send(ends.launcher).is_err() {
                    // It does not read. Cut off, it resets everything and comes back when it can.
                    self.links.remove(id);
                    return;
                }
                enforcer.adopt(
                    id.clone(),
                    instance.workload.clone(),
                    instance.uid,
                    instance.process.pid,
                    ends.enforcer,
                );
            }
            Err(error) => {
                crate::say::warn(&format!(
                    "{id} cannot be linked to the enforcer: {error}; it is cut off for now"
                ));
                self.links.remove(id);
            }
        }
    }

    /// By itself, or as one of many.
    fn record_refusal(&mut self, uid: u32, reason: String, subject: Option<String>) {
        if self.refusals.itemise(uid, &reason, Instant::now()) {
            self.record("claim refused", reason, subject, false);
        }
    }

    /// How many more there were.
    pub(super) fn record_refusals(&mut self, now: Option<Instant>) {
        for sum in self.refusals.sums(now) {
            self.record("claim refused", sum, None, false);
        }
        for sum in self.uninvited.sums(now) {
            self.record("operator refused", sum, None, false);
        }
    }

    /// The mode of `admin.sock` keeps others out; somebody has got past it.
    pub(super) fn uninvited(&mut self, by: &Asker, wanted: &str) {
        let reason = format!("{by} asked for: {wanted}; only root and the owner of the node may");
        if self.uninvited.itemise(by.uid, &reason, Instant::now()) {
            self.record("operator refused", reason, None, false);
        }
    }

    /// One that speaks another version comes back again and again: it is told of once.
    pub(super) fn stranger(&mut self, stranger: &Stranger) {
        let Stranger { uid, pid, refusal } = stranger;
        if self.strangers.contains(&(*uid, *pid)) {
            return;
        }
        if self.strangers.len() >= STRANGERS_MAX {
            self.strangers.clear();
        }
        self.strangers.insert((*uid, *pid));
        let who = format!("uid {uid}, process {pid}");
        self.record_refusal(*uid, format!("{} ({who})", refusal.reason), None);
        // Other users do not write into the operator's journal.
        if self.fixed.owner.trusts(*uid) {
            crate::say::warn(&format!(
                "a launcher ({who}) is refused: {}\n= help: {}",
                refusal.reason, refusal.hint
            ));
        }
    }

    pub(super) fn departed(&mut self, departure: &Departure) {
        let id = &departure.instance;
        let held = self.links.get(id).map(|link| link.connection);
        match held {
            // A newer connection of the same launcher has taken over.
            Some(connection) if connection != departure.connection => return,
            Some(_) => {
                self.links.remove(id);
            }
            None => {}
        }
        self.sweep_instances();
    }

    /// Takes out the instances whose launcher is neither connected nor alive.
    pub(super) fn sweep_instances(&mut self) {
        let links = &self.links;
        let gone = self.instances.sweep(|id| !links.contains_key(id));
        if gone.is_empty() {
            return;
        }
        self.store_instances();
        self.record_stopped(gone);
    }

    pub(crate) fn record_stopped(&mut self, gone: Vec<(InstanceId, Instance)>) {
        for (id, instance) in gone {
            let subject = instance.workload.name.to_string();
            if let Some(group) = &instance.group {
                self.group_ended(group, &id, &subject);
            }
            let reason = format!(
                "{id}, uid {}, process {}",
                instance.uid, instance.process.pid
            );
            self.record("workload stopped", reason, Some(subject), true);
        }
    }

    pub(super) fn store_instances(&mut self) {
        if let Err(error) = self.instances.store() {
            crate::say::warn(&format!(
                "the table of instances cannot be written: {error}; a restart of the node would lose its launchers"
            ));
        }
    }
}

/// A channel that was made, its two ends to be given away.
struct Ends {
    launcher: OwnedFd,
    enforcer: OwnedFd,
    porter: Option<Porter>,
}

/// A channel between a launcher, a process of `uid`, and the enforcer; by way of a porter where there are `porters`.
fn channel_between(porters: Option<&Porters>, uid: u32) -> io::Result<Ends> {
    let (launcher, near) = channel::pair()?;
    let Some(porters) = porters else {
        return Ok(Ends {
            launcher,
            enforcer: near,
            porter: None,
        });
    };
    let (far, enforcer) = channel::pair()?;
    let porter = porters.start(uid, &near, &far)?;
    Ok(Ends {
        launcher,
        enforcer,
        porter: Some(porter),
    })
}

fn no_outer_id() -> Refusal {
    Refusal::new("all outer ids are in use", "stop some workloads")
}

fn refuse(claim: Claim, refusal: Refusal) {
    // Its launcher may have given up meanwhile.
    let _ = claim.answer.send(Err(refusal));
}
