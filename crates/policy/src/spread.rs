//! What a workload that was taken over can reach, directly and through others.
//!
//! Whoever holds A reaches B if A may do any operation at all to B: what B does then may be steered by what it is sent. So a
//! path is a chain of pairs that may each do something, and its length is the number of connections on it. Conditions count as
//! if they were true, and are told; so does what a policy in `learn` or `shadow` lets pass. Where a search is cut off, the pair counts
//! as one that reaches.

use std::collections::HashMap;

use jiff::Timestamp;
use ringfence_model::{Position, Protocol, WorkloadId};

use crate::decide::soft_at;
use crate::diff::Depends;
use crate::extent::Region;
use crate::patterns::written;
use crate::snapshot::{Snapshot, WorkloadIx, pair_key};
use crate::space::Witness;

/// Most pairs of one question whose operations are searched. Those beyond count as reaching, without an example.
pub(crate) const EDGES_MAX: usize = 1_000_000;
/// Most operations between two that are told by name.
const OPERATIONS_MAX: usize = 64;

/// What one workload may do to another, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Initiator.
    pub from: WorkloadId,
    /// Receiver.
    pub to: WorkloadId,
    /// What the receiver speaks.
    pub protocol: Option<Protocol>,
    /// Patterns in canonical form, those that depend on least first; a pattern may have exceptions that are not told here.
    pub operations: Vec<String>,
    /// An operation that depends on least.
    pub example: Option<String>,
    /// On what the example depends.
    pub depends: Depends,
    /// `false`: a search was cut off, and perhaps nothing is possible.
    pub certain: bool,
    /// Where the initiator's rule for the example stands; `None` where its mode lets it pass.
    pub rule: Option<Position>,
    /// The receiver's rule; `None` where it takes whoever names it, or its mode lets it pass.
    pub receive_rule: Option<Position>,
}

impl Edge {
    /// Whether something is possible without any condition.
    pub fn is_plain(&self) -> bool {
        self.certain && self.depends.when.is_empty()
    }
}

/// A workload that can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Who.
    pub to: WorkloadId,
    /// Fewest connections to it.
    pub hops: u32,
    /// Fewest connections to it of which none depends on a condition; `None`: there is no such way.
    pub plain_hops: Option<u32>,
    /// A shortest way: of those, one that depends on the fewest conditions, and the first by name.
    pub path: Vec<WorkloadIx>,
}

/// How far one workload reaches, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Radius {
    /// Who was taken over.
    pub from: WorkloadId,
    /// How many it reaches itself.
    pub direct: usize,
    /// How many in all.
    pub all: usize,
    /// How many of those without any condition.
    pub plain: usize,
    /// Connections to the farthest.
    pub hops: u32,
}

/// Who may do something to whom, looked at as it is asked for.
#[derive(Debug)]
pub struct Web<'a> {
    snapshot: &'a Snapshot,
    now: Timestamp,
    /// By initiator: whom its policy names, in order.
    named: Vec<Vec<u32>>,
    /// Everyone who serves something, for initiators whose policy is soft.
    serving: Vec<u32>,
    edges: HashMap<u64, Edge>,
    /// By initiator: whom it reaches, and whether without condition.
    next: Vec<Option<Vec<(u32, bool)>>>,
    searched: usize,
}

/// Which edges are walked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    All,
    /// Those that depend on no condition.
    Plain,
}

/// How far a walk came.
#[derive(Clone, Copy, Default)]
struct Count {
    reached: usize,
    hops: u32,
    /// Some edge that was met depends on a condition.
    conditions: bool,
}

/// How one node was come to.
#[derive(Clone, Copy)]
struct Arrival {
    hops: u32,
    /// Edges with a condition on the way.
    conditions: u32,
    before: u32,
}

impl<'a> Web<'a> {
    /// Nothing is searched yet.
    pub fn new(snapshot: &'a Snapshot, now: Timestamp) -> Self {
        let count = snapshot.workloads.len();
        let mut named = vec![Vec::new(); count];
        for (&key, pair) in &snapshot.pairs {
            if pair.initiate.is_some() {
                named[(key >> 32) as usize].push(key as u32);
            }
        }
        named.iter_mut().for_each(|list| list.sort_unstable());
        let serves = |&index: &u32| snapshot.workloads[index as usize].serves.is_some();
        Self {
            snapshot,
            now,
            named,
            serving: (0..count as u32).filter(serves).collect(),
            edges: HashMap::new(),
            next: vec![None; count],
            searched: 0,
        }
    }

    /// What one may do to the other; `None`: nothing.
    pub fn edge(&mut self, from: WorkloadIx, to: WorkloadIx) -> Option<&Edge> {
        self.snapshot.get(from)?;
        self.snapshot.get(to)?;
        self.look(from.index);
        self.edges.get(&pair_key(from.index, to.index))
    }

    /// All of one initiator, by the names of receivers.
    pub fn edges_of(&mut self, from: WorkloadIx) -> Vec<&Edge> {
        if self.snapshot.get(from).is_none() {
            return Vec::new();
        }
        let next: Vec<u32> = self.look(from.index).iter().map(|(to, _)| *to).collect();
        next.iter()
            .filter_map(|&to| self.edges.get(&pair_key(from.index, to)))
            .collect()
    }

    /// Whom `from` reaches with `hops` connections at most, the nearest first.
    pub fn spread(&mut self, from: WorkloadIx, hops: Option<u32>) -> Vec<Reached> {
        if self.snapshot.get(from).is_none() {
            return Vec::new();
        }
        let arrivals = self.walk(from.index, hops, Over::All);
        let plain = self.walk(from.index, hops, Over::Plain);
        let mut reached: Vec<Reached> = Vec::new();
        for (index, arrival) in arrivals.iter().enumerate() {
            let (Some(arrival), true) = (arrival, index != from.index as usize) else {
                continue;
            };
            reached.push(Reached {
                to: self.snapshot.workloads[index].id.clone(),
                hops: arrival.hops,
                plain_hops: plain[index].map(|it| it.hops),
                path: self.path(&arrivals, from.index, index as u32),
            });
        }
        reached.sort_by(|a, b| (a.hops, &a.to.name).cmp(&(b.hops, &b.to.name)));
        reached
    }

    /// A way from one to the other with `hops` connections at most. `plain`: on which nothing depends on a condition.
    pub fn way(
        &mut self,
        from: WorkloadIx,
        to: WorkloadIx,
        hops: Option<u32>,
        plain: bool,
    ) -> Option<Vec<WorkloadIx>> {
        self.snapshot.get(from)?;
        self.snapshot.get(to)?;
        let over = if plain { Over::Plain } else { Over::All };
        let arrivals = self.walk(from.index, hops, over);
        arrivals.get(to.index as usize).copied().flatten()?;
        Some(self.path(&arrivals, from.index, to.index))
    }

    /// How far `from` reaches, in numbers. As [`Web::spread`], without keeping ways: it is asked of everybody.
    pub fn radius(&mut self, from: WorkloadIx, hops: Option<u32>) -> Option<Radius> {
        let id = self.snapshot.get(from)?.id.clone();
        let direct = self.look(from.index).len();
        let all = self.count(from.index, hops, Over::All);
        let plain = match all.conditions {
            true => self.count(from.index, hops, Over::Plain).reached,
            false => all.reached,
        };
        Some(Radius {
            from: id,
            direct,
            all: all.reached,
            plain,
            hops: all.hops,
        })
    }

    /// As [`Web::walk`], and only counts.
    fn count(&mut self, from: u32, most: Option<u32>, over: Over) -> Count {
        let mut seen = vec![false; self.snapshot.workloads.len()];
        seen[from as usize] = true;
        let mut count = Count::default();
        let (mut layer, mut next) = (vec![from], Vec::new());
        while most.is_none_or(|most| count.hops < most) {
            for &node in &layer {
                for &(to, plain) in self.look(node) {
                    count.conditions |= !plain;
                    if !(seen[to as usize] || over == Over::Plain && !plain) {
                        seen[to as usize] = true;
                        next.push(to);
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            count.hops += 1;
            count.reached += next.len();
            std::mem::swap(&mut layer, &mut next);
            next.clear();
        }
        count
    }

    fn path(&self, arrivals: &[Option<Arrival>], from: u32, to: u32) -> Vec<WorkloadIx> {
        let mut path = vec![self.snapshot.ix(to)];
        let mut at = to;
        while at != from
            && let Some(arrival) = arrivals[at as usize]
        {
            at = arrival.before;
            path.push(self.snapshot.ix(at));
        }
        path.reverse();
        path
    }

    /// Layer by layer.
    fn walk(&mut self, from: u32, most: Option<u32>, over: Over) -> Vec<Option<Arrival>> {
        let mut arrivals: Vec<Option<Arrival>> = vec![None; self.snapshot.workloads.len()];
        arrivals[from as usize] = Some(Arrival {
            hops: 0,
            conditions: 0,
            before: from,
        });
        let mut layer = vec![from];
        let mut hops = 0;
        while !layer.is_empty() && most.is_none_or(|most| hops < most) {
            hops += 1;
            let mut next = Vec::new();
            // In the order of names, so that of two ways that are as good the first one stays.
            layer.sort_unstable();
            for node in layer {
                let conditions = arrivals[node as usize].map_or(0, |it| it.conditions);
                for &(to, plain) in self.look(node) {
                    if over == Over::Plain && !plain {
                        continue;
                    }
                    let arrival = Arrival {
                        hops,
                        conditions: conditions + u32::from(!plain),
                        before: node,
                    };
                    match &mut arrivals[to as usize] {
                        slot @ None => {
                            *slot = Some(arrival);
                            next.push(to);
                        }
                        Some(known) => {
                            if known.hops == hops && arrival.conditions < known.conditions {
                                *known = arrival;
                            }
                        }
                    }
                }
            }
            layer = next;
        }
        arrivals
    }

    /// Whom one reaches itself.
    fn look(&mut self, from: u32) -> &[(u32, bool)] {
        if self.next[from as usize].is_none() {
            let facts = &self.snapshot.facts[from as usize];
            let soft = facts.policy.is_some() && soft_at(facts, self.now).is_some();
            let candidates = match soft {
                true => self.serving.clone(),
                false => self.named[from as usize].clone(),
            };
            let mut next = Vec::new();
            for to in candidates.into_iter().filter(|to| *to != from) {
                if let Some(edge) = self.search(from, to) {
                    next.push((to, edge.is_plain()));
                    self.edges.insert(pair_key(from, to), edge);
                }
            }
            self.next[from as usize] = Some(next);
        }
        self.next[from as usize].as_deref().unwrap_or_default()
    }

    fn search(&mut self, from: u32, to: u32) -> Option<Edge> {
        let ends = [self.snapshot.ix(from), self.snapshot.ix(to)];
        let workload = &self.snapshot.workloads[to as usize];
        let empty = workload.path_allowances.into();
        let mut edge = Edge {
            from: self.snapshot.workloads[from as usize].id.clone(),
            to: workload.id.clone(),
            protocol: workload.serves.map(|(protocol, _)| protocol),
            operations: Vec::new(),
            example: None,
            depends: Depends::default(),
            certain: false,
            rule: None,
            receive_rule: None,
        };
        self.searched += 1;
        if self.searched > EDGES_MAX {
            return Some(edge);
        }
        let spellings = self.snapshot.spellings(ends[0], ends[1]);
        let mut extent = self.snapshot.extent(ends[0], ends[1], self.now, &spellings);
        // What depends on least comes first; among equals, the order of rules.
        let rank = |region: &Region| {
            (
                region.term.when.len(),
                region.term.soft.is_some(),
                region.term.until.is_some(),
            )
        };
        extent.regions.sort_by_key(rank);
        let mut any = extent.cut;
        for region in &extent.regions {
            let example = match region.patch.example(empty) {
                Witness::None => continue,
                Witness::Found(example) => Some(example),
                Witness::Unknown => None,
            };
            any = true;
            if edge.operations.len() < OPERATIONS_MAX {
                let text = written(&region.patch.pattern);
                if !edge.operations.contains(&text) {
                    edge.operations.push(text);
                }
            }
            if edge.example.is_none()
                && let Some(example) = example
            {
                let at = |rule| self.snapshot.rule_at(rule).map(|rule| rule.at.clone());
                edge.example = Some(example);
                edge.depends = Depends::of(&region.term);
                edge.certain = true;
                edge.rule = at(region.ours);
                edge.receive_rule = at(region.theirs);
            }
        }
        any.then_some(edge)
    }
}

#[cfg(test)]
mod tests;
