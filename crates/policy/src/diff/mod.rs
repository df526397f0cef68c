//! What two generations allow differently: the meaning, not the text.
//!
//! What comes in: two snapshots, and two estates for what is no operation. What goes out: [`Change`]s, pair by pair, and
//! [`Fact`]s. Between each two workloads, `same.rs` sees whether anything that decides is written differently at all;
//! `pair.rs` then takes the sets of operations (`extent`) of one side away from those of the other. `facts.rs` compares what resources
//! say beside.
//!
//! The difference is exact: an operation is in an opened row exactly where the old generation denies it and the new one
//! allows it, if only when the row's conditions hold. Where a bound is reached it says so, and never tells less.

mod facts;
mod pair;
mod same;

use jiff::Timestamp;

pub use facts::{Direction, Fact, facts};
pub use pair::{Change, Depends, Effect};

use crate::decide::soft_at;
use crate::snapshot::{Snapshot, WorkloadIx};
use pair::End;

/// Most pairs that are looked at because a policy in `learn` or `shadow` lets everything pass. More are counted and not looked at.
pub(crate) const SOFT_PAIRS_MAX: usize = 1_000_000;

/// Two generations, compared pair by pair as of one time.
#[derive(Debug)]
pub struct Diff<'a> {
    old: &'a Snapshot,
    new: &'a Snapshot,
    now: Timestamp,
    /// Names of initiator and receiver, in order.
    pairs: Vec<(&'a str, &'a str)>,
    left_out: usize,
}

impl<'a> Diff<'a> {
    /// Finds the pairs between which anything may be possible.
    pub fn new(old: &'a Snapshot, new: &'a Snapshot, now: Timestamp) -> Self {
        let mut pairs = Vec::new();
        let (mut soft, mut left_out) = (0, 0);
        for snapshot in [old, new] {
            let name = |index: u32| snapshot.workload(snapshot.ix(index)).id.name.as_str();
            let keys = snapshot.pairs.keys();
            pairs.extend(keys.map(|key| (name((key >> 32) as u32), name(*key as u32))));
            for (from, to) in snapshot.soft_pairs(now) {
                soft += 1;
                if soft <= SOFT_PAIRS_MAX {
                    pairs.push((name(from.index), name(to.index)));
                } else {
                    left_out += 1;
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        Self {
            old,
            new,
            now,
            pairs,
            left_out,
        }
    }

    /// How many pairs are looked at.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// How many are not, because there are too many that a soft policy lets pass.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// What changes, by the names of initiator and receiver; for each pair, in the order of [`Diff::pairs`]. Takes the time
    /// of a search for each pair that differs.
    pub fn changes(&self) -> impl Iterator<Item = Vec<Change>> + '_ {
        self.pairs.iter().map(|&(from, to)| {
            let end = |snapshot: &'a Snapshot| End {
                snapshot,
                pair: snapshot.find(from).zip(snapshot.find(to)).map(Into::into),
            };
            pair::changes(&end(self.old), &end(self.new), self.now)
        })
    }
}

impl Snapshot {
    /// Whom workloads with a soft policy may call, whatever lists say: everyone who serves.
    fn soft_pairs(&self, now: Timestamp) -> impl Iterator<Item = (WorkloadIx, WorkloadIx)> + '_ {
        let soft = move |ix: &WorkloadIx| {
            let facts = self.facts.get(ix.index as usize);
            facts.is_some_and(|facts| facts.policy.is_some() && soft_at(facts, now).is_some())
        };
        self.workloads().filter(soft).flat_map(move |from| {
            let serves = move |to: &WorkloadIx| self.workload(*to).serves.is_some();
            self.workloads().filter(serves).map(move |to| (from, to))
        })
    }
}
