//! Policy on its way into force: read, offered to the enforcer, taken or not.
//!
//! Whatever happens, what was in force stays in force until something better has been taken whole.

use std::sync::Arc;

use jiff::Timestamp;
use ringfence_model::{Diagnostics, Generation};

use tokio::time::Instant;

use super::{Input, Supervisor};
use crate::generation::{self, Attempt, Origin, Serving};
use crate::limits::{SETTLE, UNSETTLED_PAUSE, UNSETTLED_SAID, UNSETTLED_STARTS};
use crate::status::Rejected;
use crate::unrest::Unrest;

/// A configuration that is not whole, for now.
pub(super) struct Unsettled {
    begun: Instant,
    pub(super) since: Timestamp,
    looks: u32,
    /// Why, as it was said; empty as long as it was not.
    pub(super) said: String,
    pub(super) unrest: Unrest,
}

impl Unsettled {
    /// It may come to rest any moment; nobody was told yet.
    pub(super) fn is_new(&self) -> bool {
        self.said.is_empty()
    }
}

impl Supervisor {
    /// Reads the configuration on a worker thread. One read at a time; a change meanwhile asks for another.
    pub(super) fn start_reading(&mut self) {
        let Some(mut desk) = self.desk.take() else {
            self.read_again = true;
            return;
        };
        let current = match &self.offer {
            Some(offer) => offer.digest.clone(),
            None => self.serving.digest.clone(),
        };
        let watched = self.watched.borrow().clone();
        let inputs = self.inputs.clone();
        desk.drill = self.drill.is_some();
        tokio::spawn(async move {
            let read = tokio::task::spawn_blocking(move || {
                let attempt = desk.read(&current, &watched);
                (desk, attempt)
            });
            match read.await {
                Ok((desk, attempt)) => inputs.send(Input::Read(desk, attempt)).await,
                // A panic in the loader is a bug. The desk is lost with it: no later change can be taken, which a
                // node must not hide. It ends, and its launchers reset everything until it is back.
                Err(error) => {
                    crate::say::warn(&format!("reading the configuration panicked: {error}"));
                    inputs.send(Input::Stop("after a panic".to_owned())).await;
                }
            }
        });
    }

    pub(super) fn read_done(&mut self, desk: Box<crate::generation::Desk>, attempt: Attempt) {
        if *self.watched.borrow() != desk.watched {
            self.watched.send_replace(desk.watched.clone());
        }
        self.desk = Some(desk);
        match attempt {
            Attempt::Unsettled(unrest) => {
                // A start waits for the files to rest, within reason.
                if self.unsettled(unrest) < UNSETTLED_STARTS && !self.child.was_started() {
                    return;
                }
            }
            Attempt::Unchanged => {
                self.settled();
                self.accepted_again();
            }
            Attempt::Rejected(errors) => {
                self.settled();
                self.drill_refused(&errors.to_string());
                self.reject(&errors);
            }
            Attempt::Offer(serving) => {
                self.settled();
                self.offer(Arc::from(serving));
            }
        }
        if std::mem::take(&mut self.read_again) {
            self.start_reading();
        }
        if !self.child.was_started() {
            self.choose_first();
            self.start_enforcer();
        }
    }

    /// The configuration is not whole: it is looked at again, and what is in force stays. Returns how often in a row.
    fn unsettled(&mut self, unrest: Unrest) -> u32 {
        let unsettled = self.unsettled.get_or_insert_with(|| Unsettled {
            begun: Instant::now(),
            since: Timestamp::now(),
            looks: 0,
            said: String::new(),
            unrest: unrest.clone(),
        });
        unsettled.looks += 1;
        let looks = unsettled.looks;
        let other = std::mem::replace(&mut unsettled.unrest, unrest) != unsettled.unrest;
        let due = unsettled.begun.elapsed() >= UNSETTLED_SAID;
        if due && (other || unsettled.said.is_empty()) {
            let (why, fix) = (unsettled.unrest.to_string(), unsettled.unrest.fix());
            unsettled.said.clone_from(&why);
            let in_force = self.in_force();
            crate::say::warn(&format!(
                "the configuration is not taken yet: {why}; {in_force}\n= help: {fix}"
            ));
            self.record("reload waits", format!("{why}; {in_force}"), None, false);
        }
        let pause = if looks < UNSETTLED_STARTS {
            SETTLE
        } else {
            UNSETTLED_PAUSE
        };
        self.inputs.send_after(pause, Input::LookAgain(looks));
        looks
    }

    /// Only after the latest look: a change meanwhile asked for one of its own.
    pub(super) fn look_again(&mut self, look: u32) {
        let latest = self.unsettled.as_ref().map(|unsettled| unsettled.looks);
        if latest == Some(look) {
            self.start_reading();
        }
    }

    fn settled(&mut self) {
        if let Some(unsettled) = self.unsettled.take()
            && !unsettled.said.is_empty()
        {
            crate::say::warn("the configuration rests");
            self.record(
                "reload goes on",
                format!("after: {}", unsettled.said),
                None,
                true,
            );
        }
    }

    /// What a fresh node begins with: the configuration, else what an earlier run left, else nothing.
    fn choose_first(&mut self) {
        let Some(desk) = self.desk.as_mut() else {
            return;
        };
        let revived = match desk.last_good() {
            None => return,
            Some(Ok((last, missing))) => {
                if self.offer.is_none() && !missing.is_empty() {
                    crate::say::warn(&format!(
                        "for the last good generation:\n{}",
                        Diagnostics(missing)
                    ));
                }
                Arc::new(last)
            }
            Some(Err(errors)) => {
                crate::say::warn(&format!(
                    "the last good generation cannot be used any more:\n{errors}"
                ));
                return;
            }
        };
        match self.offer {
            Some(_) => self.fallback = Some(revived),
            None => self.offer = Some(revived),
        }
    }

    fn accepted_again(&mut self) {
        if self.rejected.take().is_some() {
            let text = match &self.offer {
                Some(offer) => format!("generation {} is on its way", offer.generation),
                None => format!(
                    "generation {} is what the files say again",
                    self.serving.generation
                ),
            };
            crate::say::warn(&text);
            self.record("reload accepted", text, None, true);
        }
    }

    pub(super) fn reject(&mut self, errors: &Diagnostics) {
        let shown: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        if self
            .rejected
            .as_ref()
            .is_some_and(|earlier| earlier.errors == shown)
        {
            return;
        }
        let in_force = self.in_force();
        crate::say::warn(&format!(
            "the configuration is rejected ({} {}); {in_force}\n{errors}",
            shown.len(),
            if shown.len() == 1 { "error" } else { "errors" },
        ));
        let first = errors.0.first().map(|error| match &error.at {
            Some(at) => format!("{at}: {}", error.message),
            None => error.message.clone(),
        });
        self.record(
            "reload rejected",
            format!(
                "{} errors; {}; {in_force}",
                shown.len(),
                first.unwrap_or_default()
            ),
            None,
            false,
        );
        let since = self
            .rejected
            .as_ref()
            .map_or_else(Timestamp::now, |earlier| earlier.since);
        self.counts.reloads_rejected += 1;
        self.rejected = Some(Rejected {
            since,
            errors: shown,
        });
    }

    fn in_force(&self) -> String {
        match self.serving.origin {
            Origin::Nothing => match self.announced {
                true => "everything stays denied".to_owned(),
                false => "what an earlier run left is tried, else everything is denied".to_owned(),
            },
            _ => format!("generation {} stays in force", self.serving.generation),
        }
    }

    fn offer(&mut self, offer: Arc<Serving>) {
        self.rejected = None;
        self.offer = Some(offer);
        self.send_target();
    }

    /// What the enforcer should have.
    pub(super) fn target(&self) -> Arc<Serving> {
        Arc::clone(self.offer.as_ref().unwrap_or(&self.serving))
    }

    /// The enforcer has taken `generation`.
    pub(super) fn taken(&mut self, generation: Generation) {
        self.flush_events();
        if let Some(offer) = self.offer.take_if(|offer| offer.generation == generation) {
            self.fallback = None;
            // The pair of a drill is not for a later start; what is kept says the same otherwise.
            if offer.origin == Origin::Config && !offer.drill {
                self.keep(&offer);
            }
            self.serving = offer;
            self.counts.reloads_accepted += 1;
            self.in_force_since = Some(Timestamp::now());
            self.say_taken();
        }
        self.note_strays();
        self.drill_taken();
        self.links_due();
        self.announce();
        self.claims_due();
    }

    /// Keeps it for a later start. Until that succeeds, a node that starts with broken files would go back to an earlier
    /// one, which may allow what this one denies.
    fn keep(&mut self, offer: &Serving) {
        let fixed = &self.fixed;
        let kept = generation::keep(&fixed.state, &fixed.config, &fixed.zone, offer);
        match (kept, self.unkept.take()) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                let text = format!("generation {} is kept for a later start", offer.generation);
                crate::say::warn(&text);
                self.record("generation kept", text, None, true);
            }
            (Err(error), before) => {
                if before.is_none() {
                    crate::say::warn(&format!(
                        "generation {} is in force, but cannot be kept for a later start: {error}; tried again every second\n\
                         = help: make room in {}",
                        offer.generation,
                        fixed.state.display()
                    ));
                    let text = format!("generation {}: {error}", offer.generation);
                    self.record("generation not kept", text, None, false);
                }
                self.unkept = Some(error.to_string());
            }
        }
    }

    pub(super) fn keep_again(&mut self) {
        if self.serving.origin != Origin::Config {
            self.unkept = None;
        } else if self.unkept.is_some() {
            let serving = Arc::clone(&self.serving);
            self.keep(&serving);
        }
    }

    fn say_taken(&mut self) {
        let estate = &self.serving.estate;
        let text = format!(
            "generation {}: {}, {}",
            self.serving.generation,
            count(estate.services.len(), "service"),
            count(estate.agents.len(), "agent"),
        );
        if self.announced {
            crate::say::warn(&format!("{text} in force"));
        }
        let from = match self.serving.origin {
            Origin::LastGood => " (last good of an earlier run)",
            Origin::Config | Origin::Nothing => "",
        };
        self.record("policy in force", format!("{text}{from}"), None, true);
    }

    /// The enforcer does not take `generation`: it is dropped, and the next best is tried.
    pub(super) fn not_taken(&mut self, generation: Generation, reason: &str) {
        if self
            .offer
            .take_if(|offer| offer.generation == generation)
            .is_some()
        {
            self.reject(&Diagnostics(vec![ringfence_model::Diagnostic {
                at: None,
                message: format!("the enforcer does not take generation {generation}: {reason}"),
                text: None,
                help: Some("mend what it names; the files are read again when saved".to_owned()),
                also: None,
            }]));
            self.offer = self.fallback.take();
        } else if self.serving.generation == generation && self.serving.origin != Origin::Nothing {
            crate::say::warn(&format!(
                "the enforcer does not take generation {generation} again: {reason}; everything is denied"
            ));
            self.record(
                "policy lost",
                format!("generation {generation}: {reason}"),
                None,
                false,
            );
            let nothing = self.desk.as_ref().map(|desk| desk.nothing());
            match nothing {
                Some(Ok(nothing)) => {
                    self.serving = Arc::new(nothing);
                    self.in_force_since = None;
                }
                // The desk is reading. An enforcer without a generation denies everything as well.
                Some(Err(_)) | None => return,
            }
        } else {
            // Nothing is asked of it, and it refuses that: it is broken, and a new one may not be.
            self.child.kill("it refuses to have no policy");
            return;
        }
        // An offer in between may have been taken before this one was refused: then it goes back.
        if self.offer.is_some() || !self.child.has(self.serving.generation) {
            self.send_target();
        }
        self.claims_due();
    }
}

/// `1 service`, `4 services`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
