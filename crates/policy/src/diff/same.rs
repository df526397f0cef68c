//! Whether nothing that decides between two workloads differs. Text alone is compared: most pairs of two generations are equal, and
//! are not worth a search.

use jiff::Timestamp;

use super::pair::End;
use crate::condition::Condition;
use crate::decide::soft_at;
use crate::guardrail::Guardrail;
use crate::snapshot::{Facts, List, Pair, Rule, Snapshot, WorkloadIx, pair_key};

/// `true` only where the two decide alike.
pub(super) fn pair(old: &End<'_>, new: &End<'_>, now: Timestamp) -> bool {
    match (old.pair, new.pair) {
        (None, None) => true,
        (Some(before), Some(after)) => {
            let (old, new) = (
                Side::new(old.snapshot, before),
                Side::new(new.snapshot, after),
            );
            match (old, new) {
                (Some(old), Some(new)) => old.equals(&new, now),
                _ => false,
            }
        }
        _ => false,
    }
}

struct Side<'a> {
    snapshot: &'a Snapshot,
    ends: [WorkloadIx; 2],
    source: &'a Facts,
    target: &'a Facts,
    pair: Pair,
}

impl<'a> Side<'a> {
    fn new(snapshot: &'a Snapshot, ends: [WorkloadIx; 2]) -> Option<Self> {
        let [from, to] = ends;
        Some(Self {
            snapshot,
            ends,
            source: snapshot.facts.get(from.index as usize)?,
            target: snapshot.facts.get(to.index as usize)?,
            pair: snapshot
                .pairs
                .get(&pair_key(from.index, to.index))
                .copied()
                .unwrap_or_default(),
        })
    }

    fn equals(&self, other: &Self, now: Timestamp) -> bool {
        let soft = |facts: &Facts| soft_at(facts, now).map(|soft| soft.end);
        let party = |a: &Facts, b: &Facts| {
            a.spiffe_id == b.spiffe_id && a.owner == b.owner && a.labels == b.labels
        };
        let (a, b) = (self, other);
        a.snapshot.dialect(a.ends[1]) == b.snapshot.dialect(b.ends[1])
            && a.source.policy.is_some() == b.source.policy.is_some()
            && soft(a.source) == soft(b.source)
            && soft(a.target) == soft(b.target)
            && a.target.receives_by_policy == b.target.receives_by_policy
            && a.target.others == b.target.others
            && a.target.lapse.as_ref().map(|it| it.last_day)
                == b.target.lapse.as_ref().map(|it| it.last_day)
            && party(a.source, b.source)
            && party(a.target, b.target)
            && a.list(a.pair.initiate, b, b.pair.initiate)
            && a.list(a.pair.receive, b, b.pair.receive)
            && a.guards(b)
    }

    fn list(&self, own: Option<List>, other: &Self, theirs: Option<List>) -> bool {
        match (own, theirs) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                let (a, b) = (self.rules(&a), other.rules(&b));
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| rule(a, b))
            }
            _ => false,
        }
    }

    fn rules(&self, list: &List) -> &'a [Rule] {
        let rules = self.snapshot.rules.get(list.first as usize..);
        rules
            .and_then(|rules| rules.get(..list.count as usize))
            .unwrap_or_default()
    }

    fn guards(&self, other: &Self) -> bool {
        let of = |side: &Self| -> Vec<&'a Guardrail> {
            let [from, to] = side.ends;
            side.snapshot.guards(from, to).collect()
        };
        let (own, theirs) = (of(self), of(other));
        own.len() == theirs.len() && own.iter().zip(theirs).all(|(a, b)| guardrail(a, b))
    }
}

fn rule(a: &Rule, b: &Rule) -> bool {
    a.text == b.text && a.end == b.end && when(a.when.as_ref()) == when(b.when.as_ref())
}

fn guardrail(a: &Guardrail, b: &Guardrail) -> bool {
    a.name == b.name
        && a.forbids == b.forbids
        && a.texts == b.texts
        && when(a.when.as_ref()) == when(b.when.as_ref())
}

fn when(condition: Option<&Condition>) -> Option<&str> {
    condition.map(Condition::text)
}
