//! What was tried between any two workloads: the sums behind `audit top`, `services` and `agents`.

use std::collections::HashMap;
use std::path::PathBuf;

use jiff::Timestamp;
use ringfence_history::{Asked, History, HistoryError, OWNERS_ONLY, Span, Sums};
use ringfence_model::{Outcome, RecordKind};
use serde::Serialize;

use super::Whose;
use crate::output::{Failure, say};
use crate::verbs::flows::{bounds, moment};

/// Most reasons of denials between two that are told apart.
const REASONS_MAX: usize = 64;
/// What the others are called.
const OTHER_REASONS: &str = "other reasons";

/// Which log, and which part of it.
#[derive(Debug, clap::Args)]
pub(super) struct Part {
    #[command(flatten)]
    whose: Whose,
    /// Only records of this time and later: 10m (ago), 09:14, 2026-11-21, RFC 3339; UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<Timestamp>,
    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    until: Option<Timestamp>,
}

impl Part {
    /// The state directory, as given.
    pub(super) fn state(&self) -> Option<&PathBuf> {
        self.whose.state.as_ref()
    }

    pub(super) fn history(&self) -> Result<History, Failure> {
        let history = History::open(&self.whose.log()?).map_err(failure)?;
        for gap in history.missing() {
            say(format!(
                "records {} to {} are not in the log and do not count; `ringfence audit verify` tells more",
                gap.start,
                gap.end - 1
            ));
        }
        Ok(history)
    }

    pub(super) fn span(&self) -> Result<Span, Failure> {
        let (since_ns, until_ns) = bounds(self.since, self.until)?;
        Ok(Span { since_ns, until_ns })
    }
}

pub(super) fn failure(error: HistoryError) -> Failure {
    if error.is_refused() {
        Failure::new(error, OWNERS_ONLY)
    } else {
        Failure::plain(error)
    }
}

/// What one workload tried with another.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pair {
    pub(super) source: String,
    /// Empty: nobody's.
    pub(super) destination: String,
    pub(super) attempts: u64,
    pub(super) denied: u64,
    pub(super) would_deny: u64,
    /// Allowed, and did not work.
    pub(super) errors: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    #[serde(serialize_with = "time")]
    pub(super) first: u64,
    #[serde(serialize_with = "time")]
    pub(super) last: u64,
    /// The most frequent first.
    pub(super) denials: Vec<Denial>,
    #[serde(skip)]
    reasons: HashMap<String, u64>,
}

/// Why something was denied, and how often.
#[derive(Debug, Serialize)]
pub(super) struct Denial {
    pub(super) reason: String,
    pub(super) count: u64,
}

/// Pairs, each once.
#[derive(Default)]
struct Pairs {
    all: Vec<Pair>,
    /// By source, then by destination.
    places: HashMap<String, HashMap<String, usize>>,
}

impl Pairs {
    fn of(&mut self, source: &str, destination: &str) -> &mut Pair {
        let place = self.places.get(source).and_then(|to| to.get(destination));
        let place = place.copied().unwrap_or_else(|| {
            let to = self.places.entry(source.to_owned()).or_default();
            to.insert(destination.to_owned(), self.all.len());
            self.all.push(Pair::new(source, destination));
            self.all.len() - 1
        });
        &mut self.all[place]
    }
}

/// All pairs, in no order.
pub(super) fn pairs(history: &History, span: Span) -> Result<Vec<Pair>, Failure> {
    let asked = Asked {
        keys: &["source", "destination", "kind", "outcome", "reason"],
        detail: None,
        span,
    };
    let parts = history.fold(&asked, Pairs::default, |pairs, group| {
        let &[source, destination, kind, outcome, reason] = group.words() else {
            return;
        };
        let kind = RecordKind::from_word(kind);
        if kind == Some(RecordKind::Event) {
            return;
        }
        pairs.of(source, destination).add(
            kind == Some(RecordKind::Close),
            Outcome::from_word(outcome),
            reason,
            group.sums(),
        );
    });
    let mut parts = parts.map_err(failure)?.into_iter();
    let mut pairs = parts.next().unwrap_or_default();
    for other in parts.flat_map(|part| part.all) {
        pairs.of(&other.source, &other.destination).join(&other);
    }
    for pair in &mut pairs.all {
        pair.denials = pair.denials();
    }
    Ok(pairs.all)
}

impl Pair {
    fn new(source: &str, destination: &str) -> Self {
        Self {
            source: source.to_owned(),
            destination: destination.to_owned(),
            attempts: 0,
            denied: 0,
            would_deny: 0,
            errors: 0,
            bytes_sent: 0,
            bytes_received: 0,
            first: u64::MAX,
            last: 0,
            denials: Vec::new(),
            reasons: HashMap::new(),
        }
    }

    fn add(&mut self, is_close: bool, outcome: Option<Outcome>, reason: &str, sums: &Sums) {
        self.first = self.first.min(sums.first_ns);
        self.last = self.last.max(sums.last_ns);
        self.bytes_sent = self.bytes_sent.saturating_add(sums.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(sums.bytes_received);
        if is_close {
            return;
        }
        let add = |to: &mut u64| *to = to.saturating_add(sums.count);
        add(&mut self.attempts);
        match outcome {
            Some(Outcome::Deny) => {
                add(&mut self.denied);
                self.deny(reason, sums.count);
            }
            Some(Outcome::WouldDeny) => add(&mut self.would_deny),
            Some(Outcome::Error) => add(&mut self.errors),
            Some(Outcome::Allow | Outcome::Unspecified) | None => {}
        }
    }

    fn deny(&mut self, reason: &str, count: u64) {
        let is_full = self.reasons.len() >= REASONS_MAX;
        let name = if is_full && !self.reasons.contains_key(reason) {
            OTHER_REASONS
        } else {
            reason
        };
        match self.reasons.get_mut(name) {
            Some(known) => *known = known.saturating_add(count),
            None => {
                self.reasons.insert(name.to_owned(), count);
            }
        }
    }

    /// Takes on what the same two tried in other records.
    fn join(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (to, more) in [
            (&mut self.attempts, other.attempts),
            (&mut self.denied, other.denied),
            (&mut self.would_deny, other.would_deny),
            (&mut self.errors, other.errors),
            (&mut self.bytes_sent, other.bytes_sent),
            (&mut self.bytes_received, other.bytes_received),
        ] {
            *to = to.saturating_add(more);
        }
        for denial in other.denials() {
            self.deny(&denial.reason, denial.count);
        }
    }

    /// The most frequent first.
    fn denials(&self) -> Vec<Denial> {
        let denial = |(reason, count): (&String, &u64)| Denial {
            reason: reason.clone(),
            count: *count,
        };
        let mut denials: Vec<Denial> = self.reasons.iter().map(denial).collect();
        denials.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        denials
    }
}

/// As in the JSON of a record.
fn time<S: serde::Serializer>(nanoseconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{:.9}", instant(*nanoseconds)))
}

/// Every number of nanoseconds (until the year 2554) is a time.
pub(super) fn instant(nanoseconds: u64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::MAX)
}
