//! Quarantine: who is taken out, and who comes back.
//!
//! Whoever is taken out is cut off first and written down next; whoever comes back, the other way round. So nobody is
//! free, here or after a crash, whom somebody took out.

use ringfence_compartment::link::{Event, FromNode, ToNode};
use ringfence_model::text::misleads;
use ringfence_model::{Name, suggest};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Supervisor, event};
use crate::admin::Refused;
use crate::containment::{Outcome, What, Wish};
use crate::limits::{
    QUARANTINE_REASON_MAX, QUARANTINE_TTL_MAX, QUARANTINE_WITHIN, QUARANTINES_MAX,
};
use crate::quarantine::{Asker, Moment, Quarantine};

/// A list, or a question about one, that the enforcer has not answered yet.
pub(super) struct Imposing {
    id: u64,
    until: Instant,
    /// It is a list: an enforcer that does not answer for it may not enforce it.
    binding: bool,
    /// Who waits.
    asked: Option<(Outcome, Answer)>,
}

/// The way back to an operator.
pub(crate) type Answer = oneshot::Sender<Result<Outcome, Refused>>;

const AWAY: &str = "no enforcer is up; nothing passes, and the next one starts with it";

impl Supervisor {
    /// An operator's wish.
    pub(super) fn contain(&mut self, wish: &Wish, by: Asker, answer: Answer) {
        match self.consider(wish, by) {
            Ok((outcome, _)) if outcome.dry_run => self.ask_cut(outcome, answer),
            Ok((outcome, event)) => self.impose(outcome, event, answer),
            // Whoever asked may have hung up.
            Err(refused) => drop(answer.send(Err(refused))),
        }
    }

    /// Changes the list, unless it is a rehearsal. Gives what is to be recorded of it.
    fn consider(&mut self, wish: &Wish, by: Asker) -> Result<(Outcome, Event), Refused> {
        let now = Moment::now();
        let name = self.meant(&wish.name)?;
        let reason = cleaned(&wish.reason)?;
        let mut list = self.quarantines.clone();
        let shown = |list: &crate::quarantine::Quarantines| {
            list.shown(&now).into_iter().find(|one| one.name == name)
        };
        let before = shown(&list);
        let who = by.to_string();
        let (operation, what) = match wish.what {
            What::Quarantine { seconds } => {
                if seconds.is_some_and(|seconds| !(1..=QUARANTINE_TTL_MAX).contains(&seconds)) {
                    return Err(Refused::new(
                        format!(
                            "a quarantine ends after 1 s at least and {} days at most",
                            QUARANTINE_TTL_MAX / 86_400
                        ),
                        "leave the end out, and release the workload by hand",
                    ));
                }
                list.impose(&name, reason.clone(), by, seconds, &now)
                    .map_err(|()| {
                        Refused::new(
                            format!("{QUARANTINES_MAX} workloads are in quarantine already"),
                            "release some of them; to cut off all at once, stop the node",
                        )
                    })?;
                let until = match shown(&list).and_then(|one| one.until) {
                    Some(until) => format!("until {until:.0}"),
                    None => "until it is released".to_owned(),
                };
                let again = if before.is_some() { "again, " } else { "" };
                ("quarantine", format!("{again}{until}, by {who}: {reason}"))
            }
            What::Release => {
                let Some(was) = list.lift(&name) else {
                    return Err(Refused::new(
                        format!("{name} is not in quarantine"),
                        format!("`ringfence status{}` shows who is", self.fixed.state_option),
                    ));
                };
                let was = words(&was);
                (
                    "release",
                    format!("by {who}: {reason}; it was quarantined {was}"),
                )
            }
        };
        let outcome = Outcome {
            known: self.declares(&name),
            instances: self
                .instances
                .iter()
                .filter(|(_, instance)| instance.workload.name == name)
                .count(),
            dry_run: wish.dry_run,
            before,
            now: shown(&list),
            cut: None,
            left: 0,
            took_ns: None,
            spread: None,
            recorded: None,
            unkept: None,
            away: None,
            name,
        };
        if !wish.dry_run {
            match wish.what {
                What::Quarantine { .. } => self.counts.quarantines += 1,
                What::Release => self.counts.releases += 1,
            }
            self.quarantines = list;
        }
        let subject = Some(outcome.name.to_string());
        Ok((outcome, event(operation, what, subject, true)))
    }

    fn impose(&mut self, mut outcome: Outcome, event: Event, answer: Answer) {
        let releases = outcome.now.is_none();
        if releases {
            self.keep_quarantines();
        }
        crate::say::warn(&format!(
            "{} {}: {}",
            event.operation, outcome.name, event.reason
        ));
        let told = self.tell_quarantines(Some(event.clone()));
        if !releases {
            self.keep_quarantines();
        }
        outcome.unkept.clone_from(&self.quarantines.unkept);
        match told {
            Some(imposing) => {
                let asked = Some((outcome, answer));
                self.imposing.push(Imposing { asked, ..imposing });
            }
            None => {
                self.record(&event.operation, event.reason, event.subject, event.ok);
                outcome.away = Some(AWAY.to_owned());
                // Whoever asked may have hung up.
                let _ = answer.send(Ok(outcome));
            }
        }
    }

    /// Gives the enforcer the list, with what is to be recorded once it is in force. `None`: there is none to be told.
    fn tell_quarantines(&mut self, event: Option<Event>) -> Option<Imposing> {
        let enforcer = self.child.listening()?;
        self.asked += 1;
        enforcer.quarantine(self.asked, event, self.quarantines.told());
        Some(Imposing {
            id: self.asked,
            until: Instant::now() + QUARANTINE_WITHIN,
            binding: true,
            asked: None,
        })
    }

    /// The same to a fresh enforcer, before its first generation.
    pub(super) fn hand_quarantines(&mut self) {
        if !self.quarantines.is_empty()
            && let Some(imposing) = self.tell_quarantines(None)
        {
            self.imposing.push(imposing);
        }
    }

    fn ask_cut(&mut self, mut outcome: Outcome, answer: Answer) {
        self.asked += 1;
        let Some(enforcer) = self.child.serving() else {
            outcome.away = Some(AWAY.to_owned());
            // Whoever asked may have hung up.
            let _ = answer.send(Ok(outcome));
            return;
        };
        enforcer.say(FromNode::AskCut {
            id: self.asked,
            name: outcome.name.clone(),
        });
        self.imposing.push(Imposing {
            id: self.asked,
            until: Instant::now() + QUARANTINE_WITHIN,
            binding: false,
            asked: Some((outcome, answer)),
        });
    }

    /// What the enforcer answers.
    pub(super) fn imposed(&mut self, answered: ToNode) {
        let id = match &answered {
            ToNode::Quarantined { id, .. } | ToNode::WouldCut { id, .. } => *id,
            _ => return,
        };
        let Some(at) = self.imposing.iter().position(|one| one.id == id) else {
            return;
        };
        let Some((mut outcome, answer)) = self.imposing.remove(at).asked else {
            return;
        };
        match answered {
            ToNode::Quarantined {
                touched,
                left,
                took_ns,
                spread,
                recorded,
                ..
            } => {
                outcome.cut = Some(touched);
                outcome.left = left;
                outcome.took_ns = Some(took_ns);
                outcome.spread = Some(spread);
                outcome.recorded = Some(recorded);
            }
            ToNode::WouldCut { touched, .. } => outcome.cut = Some(touched),
            _ => {}
        }
        // Whoever asked may have hung up.
        let _ = answer.send(Ok(outcome));
    }

    /// An enforcer that does not say that a quarantine is in force may let the workload go on: it is ended, and what it
    /// serves with it.
    pub(super) fn check_imposing(&mut self) {
        let now = Instant::now();
        let late = |one: &Imposing| one.until < now;
        if self.imposing.iter().any(|one| late(one) && one.binding) {
            crate::say::warn(&format!(
                "the enforcer has not confirmed a quarantine after {QUARANTINE_WITHIN:?}; it is killed, and everything with it"
            ));
            self.child.kill("it does not confirm a quarantine");
        }
        self.abandon(
            late,
            "the enforcer does not answer; if it let anything pass, it is ended now",
        );
    }

    /// The enforcer has ended: nothing passes, and the next one begins with the list.
    pub(super) fn none_imposed(&mut self) {
        self.abandon(|_| true, AWAY);
    }

    fn abandon(&mut self, which: impl Fn(&Imposing) -> bool, why: &str) {
        for one in self.imposing.extract_if(.., |one| which(one)) {
            if let Some((mut outcome, answer)) = one.asked {
                outcome.away = Some(why.to_owned());
                // Whoever asked may have hung up.
                let _ = answer.send(Ok(outcome));
            }
        }
    }

    /// Those whose time is over.
    pub(super) fn end_quarantines(&mut self) {
        if self.quarantines.is_empty() {
            return;
        }
        let ended = self.quarantines.take_ended(&Moment::now());
        if ended.is_empty() {
            return;
        }
        self.keep_quarantines();
        for one in &ended {
            let text = format!("its time is over; it was quarantined {}", words(one));
            crate::say::warn(&format!("quarantine of {}: {text}", one.name));
            self.record("quarantine ended", text, Some(one.name.to_string()), true);
        }
        self.counts.quarantines_ended += ended.len() as u64;
        if let Some(imposing) = self.tell_quarantines(None) {
            self.imposing.push(imposing);
        }
    }

    /// What a drill took out comes back when it ends, also when it ended early.
    pub(super) fn free_after_drill(&mut self, name: &Name) {
        if self.quarantines.lift(name).is_some() {
            self.keep_quarantines();
            if let Some(imposing) = self.tell_quarantines(None) {
                self.imposing.push(imposing);
            }
        }
    }

    fn keep_quarantines(&mut self) {
        let before = self.quarantines.unkept.is_some();
        match self.quarantines.keep() {
            Ok(()) if before => {
                let text = "what is in force is kept for a restart";
                crate::say::warn(&format!("quarantine: {text}"));
                self.record("quarantines kept", text.to_owned(), None, true);
            }
            Ok(()) => {}
            Err(error) if !before => {
                crate::say::warn(&format!(
                    "who is in quarantine cannot be written down: {error}; tried again every second\n= help: make room in {}",
                    self.fixed.state.display()
                ));
                self.record("quarantines not kept", error.to_string(), None, false);
            }
            Err(_) => {}
        }
    }

    pub(super) fn keep_quarantines_again(&mut self) {
        if self.quarantines.unkept.is_some() {
            self.keep_quarantines();
        }
    }

    /// Policy that no longer names a workload does not set it free: under the same name it may come back.
    pub(super) fn note_strays(&mut self) {
        let strays = self.quarantines.names().filter(|name| !self.declares(name));
        let strays: std::collections::BTreeSet<Name> = strays.cloned().collect();
        let before = std::mem::replace(&mut self.strays, strays);
        for name in self.strays.difference(&before).cloned().collect::<Vec<_>>() {
            let text = format!(
                "generation {} does not name it; it stays in quarantine until it is released",
                self.serving.generation
            );
            crate::say::warn(&format!("{name}: {text}"));
            self.record("quarantine stays", text, Some(name.to_string()), true);
        }
    }

    /// Whether policy in force has an agent or a service of this name.
    fn declares(&self, name: &Name) -> bool {
        self.declared().any(|one| one == name)
    }

    fn declared(&self) -> impl Iterator<Item = &Name> {
        let estate = &self.serving.estate;
        let agents = estate.agents.iter().map(|agent| &agent.name);
        agents.chain(estate.services.iter().map(|service| &service.name))
    }

    /// Which workload is meant: one of policy in force, one that runs, or one that is in quarantine.
    fn meant(&self, written: &str) -> Result<Name, Refused> {
        let known = || {
            let running = self.instances.iter().map(|(_, one)| &one.workload.name);
            self.declared()
                .chain(running)
                .chain(self.quarantines.names())
        };
        if let Some(name) = known().find(|name| name.as_str() == written) {
            return Ok(name.clone());
        }
        let otherwise = format!(
            "`ringfence status{}` lists agents and services",
            self.fixed.state_option
        );
        let fix = suggest::help(written, known().map(Name::as_str), &otherwise);
        let shown: String = written.chars().take(80).collect();
        Err(Refused::new(
            format!("no agent or service is called {shown:?}"),
            fix,
        ))
    }
}

fn words(one: &Quarantine) -> String {
    format!("since {:.0} by {}: {}", one.since, one.by, one.reason)
}

/// One line, within its bound, that a terminal can be shown.
pub(super) fn cleaned(reason: &str) -> Result<String, Refused> {
    let plain: String = reason
        .trim()
        .chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if misleads(c) => '\u{fffd}',
            c => c,
        })
        .collect();
    if plain.is_empty() {
        return Err(Refused::new(
            "a reason is missing",
            "say why, for whoever finds it in the log: `--reason TEXT`",
        ));
    }
    if plain.len() > QUARANTINE_REASON_MAX {
        return Err(Refused::new(
            format!("the reason is longer than {QUARANTINE_REASON_MAX} bytes"),
            "say it in a line, and write the rest elsewhere",
        ));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_no_terminal_obeys() {
        let shown = cleaned(" a\u{1b}[2J\nb\u{202e} ").map_err(|refused| refused.reason);
        assert_eq!(shown.as_deref(), Ok("a\u{fffd}[2J b\u{fffd}"));
        for bad in ["", " \n ", &"x".repeat(QUARANTINE_REASON_MAX + 1)] {
            assert!(cleaned(bad).is_err());
        }
    }
}
