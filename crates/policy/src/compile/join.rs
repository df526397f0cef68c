//! Which pairs can meet: operations that both ends allow and guardrails leave over.

use std::collections::HashMap;

use ringfence_model::operation::Pattern;
use ringfence_model::resource::Forbids;

use super::Compiler;
use crate::snapshot::List;
use crate::space::{Empty, Witness, witness};
use crate::trie::Root;
use crate::verdict::RuleRef;

impl Compiler<'_> {
    /// Finds, for each pair, an operation that both ends allow and no guardrail without condition forbids.
    pub(super) fn join_pairs(&mut self) {
        let mut known: HashMap<Meeting, Option<(u32, u32)>> = HashMap::new();
        let mut joined = Vec::new();
        for (&key, pair) in &self.snapshot.pairs {
            let Some(initiate) = pair.initiate else {
                continue;
            };
            let (from, to) = ((key >> 32) as u32, key as u32);
            let walls = self.walls(from, to);
            let receive = pair.receive;
            let key_of_lists = (initiate.root, receive.map(|list| list.root), walls);
            let meet = match known.get(&key_of_lists) {
                Some(&meet) => meet,
                None => {
                    let walls = self.fences(to, &key_of_lists.2);
                    let ours = self.patterns.get(&initiate.root);
                    let theirs = receive.map(|list| self.patterns.get(&list.root));
                    let ours: Vec<&Pattern> = ours.into_iter().flatten().collect();
                    let theirs: Option<Vec<&Pattern>> =
                        theirs.map(|list| list.into_iter().flatten().collect());
                    let meet = first_shared(&ours, theirs.as_deref(), &walls);
                    known.insert(key_of_lists.clone(), meet);
                    meet
                }
            };
            let meet = meet.map(|(ours, theirs)| {
                let received = receive.map_or(RuleRef::NONE, |list| list.rule(theirs));
                (initiate.rule(ours), received)
            });
            let mut timed = Vec::new();
            let conditional =
                initiate.conditional.1 > 0 || receive.is_some_and(|list| list.conditional.1 > 0);
            if meet.is_none() && conditional {
                let walls = self.fences(to, &key_of_lists.2);
                let ours = self.all_patterns(&initiate);
                let theirs = receive.map(|list| self.all_patterns(&list));
                for &(our, pattern) in &ours {
                    match &theirs {
                        None if walls.leave_something(&[pattern]) => {
                            timed.push((our, RuleRef::NONE));
                        }
                        None => {}
                        Some(theirs) => {
                            let shared = theirs.iter().filter(|(_, their)| {
                                pattern.overlaps(their) && walls.leave_something(&[pattern, their])
                            });
                            timed.extend(shared.map(|&(their, _)| (our, their)));
                        }
                    }
                }
            }
            joined.push((key, meet, timed));
        }
        for (key, meet, timed) in joined {
            let place = (self.snapshot.timed.len() as u32, timed.len() as u32);
            self.snapshot.timed.extend(timed);
            if let Some(pair) = self.snapshot.pairs.get_mut(&key) {
                pair.meet = meet;
                pair.timed = place;
            }
        }
    }

    /// Guardrails without condition that are about this pair.
    fn walls(&self, from: u32, to: u32) -> Vec<usize> {
        let guardrails = self.snapshot.guardrails.iter().enumerate();
        guardrails
            .filter(|(_, guardrail)| guardrail.when.is_none() && guardrail.concerns(from, to))
            .map(|(index, _)| index)
            .collect()
    }

    /// What those leave a receiver.
    fn fences(&self, to: u32, walls: &[usize]) -> Fences<'_> {
        let mut fences = Fences {
            required: Vec::new(),
            forbidden: Vec::new(),
            empty: Empty::Refused,
        };
        let workload = &self.snapshot.workloads[to as usize];
        let Some((protocol, _)) = workload.serves else {
            return fences;
        };
        fences.empty = workload.path_allowances.into();
        let dialect = (protocol, workload.path_allowances);
        for &wall in walls {
            let guardrail = &self.snapshot.guardrails[wall];
            let root = guardrail.list(dialect);
            let patterns = root.and_then(|root| self.patterns.get(&root));
            let patterns: Vec<&Pattern> = patterns.into_iter().flatten().collect();
            match guardrail.forbids {
                Forbids::Listed => fences.forbidden.extend(patterns),
                Forbids::Others => fences.required.push(patterns),
            }
        }
        fences
    }

    /// Rules of a list with their patterns, conditional ones too.
    fn all_patterns(&self, list: &List) -> Vec<(RuleRef, &Pattern)> {
        let plain = self.patterns.get(&list.root).into_iter().flatten();
        let (first, count) = list.conditional;
        let conditional = self.snapshot.conditional.iter();
        (0..)
            .zip(plain)
            .map(|(position, pattern)| (list.rule(position), pattern))
            .chain(
                conditional
                    .skip(first as usize)
                    .take(count as usize)
                    .map(|conditional| (conditional.rule, &conditional.pattern)),
            )
            .collect()
    }
}

/// Two lists of rules without condition, the second where the receiver has one, and the guardrails about the pair.
type Meeting = (Root, Option<Root>, Vec<usize>);

/// What guardrails without condition leave over: operations of every list required, and of none forbidden.
struct Fences<'a> {
    required: Vec<Vec<&'a Pattern>>,
    forbidden: Vec<&'a Pattern>,
    empty: Empty,
}

impl Fences<'_> {
    /// Whether they leave an operation that all of `patterns` have. A search that was cut off does not say no: each
    /// operation is decided by itself all the same.
    fn leave_something(&self, patterns: &[&Pattern]) -> bool {
        if self.required.is_empty() && self.forbidden.is_empty() {
            return true;
        }
        let singles: Vec<[&Pattern; 1]> = patterns.iter().map(|&pattern| [pattern]).collect();
        let mut required: Vec<&[&Pattern]> = singles.iter().map(|single| &single[..]).collect();
        required.extend(self.required.iter().map(Vec::as_slice));
        witness(&required, &self.forbidden, self.empty) != Witness::None
    }
}

/// Positions of two patterns that share an operation; the second is 0 where the receiver has no list.
fn first_shared(
    ours: &[&Pattern],
    theirs: Option<&[&Pattern]>,
    walls: &Fences<'_>,
) -> Option<(u32, u32)> {
    (0..).zip(ours).find_map(|(a, our)| match theirs {
        None => walls.leave_something(&[our]).then_some((a, 0)),
        Some(theirs) => {
            let shared =
                |their: &&Pattern| our.overlaps(their) && walls.leave_something(&[our, their]);
            let b = theirs.iter().position(shared)?;
            Some((a, b as u32))
        }
    })
}
