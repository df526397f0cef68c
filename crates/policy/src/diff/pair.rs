//! What changes between one initiator and one receiver.

use jiff::Timestamp;
use jiff::civil::Date;
use ringfence_model::operation::Concrete;
use ringfence_model::{Position, Protocol, WorkloadId};

use super::same;
use crate::condition::{Moment, Seen};
use crate::extent::{Extent, Patch, Region, Spellings, Term};
use crate::patterns::written;
use crate::snapshot::{Snapshot, WorkloadIx};
use crate::space::{Empty, Witness};
use crate::verdict::{Operation, Reason};

/// Most pieces that one region of a difference is taken apart into. At the bound the difference is told as one that may be.
pub(crate) const PIECES_MAX: usize = 1_024;

/// What becomes of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Impossible before, possible now, if only when a condition holds.
    Opened,
    /// Possible before, and now in more cases or for longer.
    Loosened,
    /// Possible before and now, and now in fewer cases or not for as long.
    Tightened,
    /// Possible before, impossible now.
    Closed,
    /// A bound was reached: nothing is known.
    Unknown,
}

impl Effect {
    /// As outputs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Loosened => "loosened",
            Self::Tightened => "tightened",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether more is possible, or may be.
    pub fn widens(self) -> bool {
        matches!(self, Self::Opened | Self::Loosened | Self::Unknown)
    }
}

/// On what it depends that operations are possible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Depends {
    /// Conditions, all of which must hold.
    pub when: Vec<String>,
    /// Last day (UTC).
    pub until: Option<Date>,
    /// `learn` or `shadow`: a policy refuses it, and lets it pass.
    pub mode: Option<&'static str>,
}

impl Depends {
    pub(crate) fn of(term: &Term) -> Self {
        Self {
            when: term.conditions(),
            until: term.until,
            mode: term.mode(),
        }
    }
}

/// Operations of which the same becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What becomes of them.
    pub effect: Effect,
    /// Initiator.
    pub from: WorkloadId,
    /// Receiver.
    pub to: WorkloadId,
    /// What the receiver speaks.
    pub protocol: Protocol,
    /// The operations, as one pattern in canonical form. Of [`Effect::Unknown`], empty.
    pub operation: String,
    /// But for those of these patterns.
    pub except: Vec<String>,
    /// One of them.
    pub example: Option<String>,
    /// On what they depend on the side where they are possible, or possible in more cases.
    pub depends: Depends,
    /// On what they depend on the other side, where they are possible on both.
    pub other: Vec<Depends>,
    /// `false`: a search was cut off, or the decision itself says something else. There may be no such operation.
    pub certain: bool,
    /// The initiator's rule; `None` where its mode lets it pass.
    pub rule: Option<Position>,
    /// The receiver's rule; `None` where it takes whoever names it, or its mode lets it pass.
    pub receive_rule: Option<Position>,
}

/// One side of a comparison, between one pair.
pub(super) struct End<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// `None`: one of the two is not there.
    pub(super) pair: Option<[WorkloadIx; 2]>,
}

impl End<'_> {
    fn extent(&self, now: Timestamp, spellings: &Spellings) -> Extent {
        self.pair.map_or_else(Extent::default, |[from, to]| {
            self.snapshot.extent(from, to, now, spellings)
        })
    }

    fn spellings(&self) -> Spellings {
        self.pair.map_or_else(Spellings::new, |[from, to]| {
            self.snapshot.spellings(from, to)
        })
    }

    fn ids(&self) -> Option<(WorkloadId, WorkloadId, Option<Protocol>)> {
        let [from, to] = self.pair?;
        let (from, to) = (self.snapshot.get(from)?, self.snapshot.get(to)?);
        Some((
            from.id.clone(),
            to.id.clone(),
            to.serves.map(|(protocol, _)| protocol),
        ))
    }

    fn empty(&self) -> Empty {
        let target = self.pair.and_then(|[_, to]| self.snapshot.get(to));
        target.map_or(Empty::Refused, |it| it.path_allowances.into())
    }

    /// Whether an operation is possible, as the decision itself has it. `None`: only with what is not known here.
    fn decides(&self, operation: &str, now: Timestamp) -> Option<bool> {
        let Some([from, to]) = self.pair else {
            return Some(false);
        };
        let Some(dialect) = self.snapshot.dialect(to) else {
            return Some(false);
        };
        let Ok(operation) = Concrete::parse(operation, dialect.0, dialect.1) else {
            return Some(false);
        };
        let moment = Moment::at(now, Seen::Nothing);
        let verdict = self
            .snapshot
            .decide(from, to, Operation::from(&operation), &moment);
        match verdict.reason() {
            _ if verdict.is_allowed() => Some(true),
            Reason::ConditionUnknown | Reason::ConditionFalse | Reason::ConditionErrored => None,
            // One that forbids now may forbid for a condition on the clock.
            Reason::Guardrail | Reason::GuardrailErrored if self.asks_guardrails(from, to) => None,
            _ => Some(false),
        }
    }

    fn asks_guardrails(&self, from: WorkloadIx, to: WorkloadIx) -> bool {
        let mut guards = self.snapshot.guards(from, to);
        guards.any(|guardrail| guardrail.when.is_some())
    }
}

/// All that changes between the two ends of one pair.
pub(super) fn changes(old: &End<'_>, new: &End<'_>, now: Timestamp) -> Vec<Change> {
    if same::pair(old, new, now) {
        return Vec::new();
    }
    let mut spellings = old.spellings();
    spellings.append(&mut new.spellings());
    let (before, after) = (old.extent(now, &spellings), new.extent(now, &spellings));
    let mut out = Vec::new();
    let forward = Way {
        own: new,
        other: old,
        now,
        none: Effect::Opened,
        some: Effect::Loosened,
    };
    forward.compare(&after, &before, &mut out);
    let back = Way {
        own: old,
        other: new,
        now,
        none: Effect::Closed,
        some: Effect::Tightened,
    };
    back.compare(&before, &after, &mut out);
    if before.cut || after.cut {
        out.extend(forward.unknown());
    }
    // Once is enough.
    let mut told = false;
    out.retain(|it| it.effect != Effect::Unknown || !std::mem::replace(&mut told, true));
    out
}

/// Looking from one side for what the other has not.
struct Way<'a> {
    own: &'a End<'a>,
    other: &'a End<'a>,
    now: Timestamp,
    /// What it is called where the other side has nothing, and where it has less.
    none: Effect,
    some: Effect,
}

impl Way<'_> {
    fn compare(&self, own: &Extent, other: &Extent, out: &mut Vec<Change>) {
        let mut found: Vec<(Change, Patch)> = Vec::new();
        let mut cut = false;
        for region in &own.regions {
            // What another region of this side says better is told there.
            let better = own.regions.iter().filter(|it| it.term.better(&region.term));
            let matched = other
                .regions
                .iter()
                .filter(|it| it.term.at_least(&region.term));
            let mut only = vec![region.patch.clone()];
            for patch in better.chain(matched).map(|it| &it.patch) {
                cut |= !without(&mut only, patch);
            }
            if only.is_empty() {
                continue;
            }
            let mut nowhere = only.clone();
            for patch in other.regions.iter().map(|it| &it.patch) {
                cut |= !without(&mut nowhere, patch);
            }
            for patch in nowhere {
                self.tell(region, patch, None, &mut found);
            }
            for theirs in &other.regions {
                for both in only.iter().filter_map(|it| it.and(&theirs.patch)) {
                    self.tell(region, both, Some(theirs), &mut found);
                }
            }
        }
        out.extend(found.into_iter().map(|(change, _)| change));
        if cut {
            out.extend(self.unknown());
        }
    }

    /// Adds a change, if it has an operation and none that is told says as much.
    fn tell(
        &self,
        region: &Region,
        patch: Patch,
        other: Option<&Region>,
        found: &mut Vec<(Change, Patch)>,
    ) {
        let depends = Depends::of(&region.term);
        let effect = if other.is_some() {
            self.some
        } else {
            self.none
        };
        let other = other.map(|region| Depends::of(&region.term));
        for (told, wider) in found.iter_mut() {
            let equal = told.effect == effect && told.depends == depends;
            if equal
                && wider.covers(&patch)
                && other.as_ref().is_none_or(|it| told.other.contains(it))
            {
                return;
            }
            if equal && *wider == patch {
                told.other.extend(other);
                return;
            }
        }
        // Of the two, the side on which the operation is possible says which paths there are.
        let (example, mut certain) = match patch.example(self.own.empty()) {
            Witness::None => return,
            Witness::Found(example) => (Some(example), true),
            Witness::Unknown => (None, false),
        };
        if let Some(example) = &example {
            certain = self.holds(example, region, other.is_some());
        }
        let Some((from, to, Some(protocol))) = self.own.ids() else {
            return;
        };
        let rule = |reference| {
            let rule = self.own.snapshot.rule_at(reference)?;
            Some(rule.at.clone())
        };
        let change = Change {
            effect,
            from,
            to,
            protocol,
            operation: written(&patch.pattern),
            except: patch.exceptions(),
            example,
            depends,
            other: other.into_iter().collect(),
            certain,
            rule: rule(region.ours),
            receive_rule: rule(region.theirs),
        };
        found.push((change, patch));
    }

    /// Whether the decision itself bears it out for the example: without conditions it must say so, and with some it must not say
    /// the contrary.
    fn holds(&self, example: &str, region: &Region, on_both: bool) -> bool {
        let own = self.own.decides(example, self.now);
        let other = self.other.decides(example, self.now);
        let here = match region.term.when.is_empty() {
            true => own == Some(true),
            false => own != Some(false),
        };
        here && other != Some(!on_both)
    }

    fn unknown(&self) -> Option<Change> {
        let (from, to, protocol) = self.own.ids().or_else(|| self.other.ids())?;
        Some(Change {
            effect: Effect::Unknown,
            from,
            to,
            protocol: protocol?,
            operation: String::new(),
            except: Vec::new(),
            example: None,
            depends: Depends::default(),
            other: Vec::new(),
            certain: false,
            rule: None,
            receive_rule: None,
        })
    }
}

/// Takes one set away from others; `false`: there are too many pieces, and it was left.
fn without(pieces: &mut Vec<Patch>, other: &Patch) -> bool {
    let mut left = Vec::new();
    for piece in pieces.drain(..) {
        piece.without(other, &mut left);
    }
    let fits = left.len() <= PIECES_MAX;
    left.truncate(PIECES_MAX);
    *pieces = left;
    fits
}
