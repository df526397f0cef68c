//! Who may reach what, as both ends, guardrails and the calendar leave it.

use jiff::Timestamp;
use jiff::civil::Date;
use ringfence_model::operation::{HttpPattern, Pattern, Segment};
use ringfence_model::resource::{Forbids, Policy};
use ringfence_model::{Estate, Position, Protocol, WorkloadId};

use crate::condition::Asked;
use crate::extent::{Extent, Patch, Region};
use crate::guardrail::Guardrail;
use crate::patterns::{covers, written};
use crate::snapshot::{Snapshot, WorkloadIx};
use crate::space::Witness;

/// Operations that one workload may do to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Initiator.
    pub from: WorkloadId,
    /// Receiver.
    pub to: WorkloadId,
    /// What the receiver speaks.
    pub protocol: Protocol,
    /// What both ends allow, as one pattern in canonical form.
    pub operation: String,
    /// Conditions, all of which must hold.
    pub when: Vec<String>,
    /// Last day on which it holds, if it has one: of the rules, or of the receiver's exemption from mutual authentication.
    pub until: Option<Date>,
    /// Guardrails that forbid a part of it, or all of it while a condition of theirs holds.
    pub guardrails: Vec<String>,
    /// Where the initiator's rule stands.
    pub rule: Position,
    /// Where the receiver's rule stands; `None`: it takes whoever names it.
    pub receive_rule: Option<Position>,
    pattern: Pattern,
}

impl Reach {
    /// Whether what was let through between the two is one of these operations. `operation`: as a record has it, in canonical form;
    /// `is_request`: the record is about a request on a connection, not about the connection itself.
    pub fn holds(&self, is_request: bool, operation: &str) -> bool {
        let segment = |text: &str| Segment::Literal(text.into());
        let requests = |method: &str, path: &str| HttpPattern {
            method: Some(method.into()),
            segments: path.split('/').map(segment).collect(),
            rest: false,
        };
        let one = match &self.pattern {
            // Their one operation is the connection, or flow, itself.
            Pattern::Connect | Pattern::Send => return true,
            _ if !is_request => return false,
            Pattern::Http(_) => {
                let parts = operation.split_once(" /");
                parts.map(|(method, path)| Pattern::Http(requests(method, path)))
            }
            Pattern::Grpc(_) => Some(Pattern::Grpc(requests("POST", operation))),
        };
        one.is_some_and(|one| covers(&self.pattern, &one))
    }
}

/// A policy whose own refusals pass today: its subject may do more than is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Softened {
    /// Its name.
    pub policy: String,
    /// `learn` or `shadow`.
    pub mode: &'static str,
    /// Last day.
    pub until: Date,
}

/// All that may be done at `now`, by initiator and receiver. Equal and narrower operations of the same two are left out, and so
/// is what a soft policy refuses and lets pass. A condition that reads only what resources say is asked, not listed.
pub fn reach(snapshot: &Snapshot, now: Timestamp) -> Vec<Reach> {
    let mut all = Vec::new();
    for from in snapshot.workloads() {
        let Some(facts) = snapshot.facts.get(from.index as usize) else {
            continue;
        };
        for (peer, _) in &facts.initiate {
            between(snapshot, from, snapshot.ix(*peer), now, &mut all);
        }
    }
    all
}

/// Policies that soften on the day `today`.
pub fn softened(estate: &Estate, today: Date) -> Vec<Softened> {
    let soft = |policy: &Policy| {
        let (first, until) = policy.mode.window()?;
        (first <= today && today <= until).then(|| Softened {
            policy: policy.name.to_string(),
            mode: policy.mode.kind.as_str(),
            until,
        })
    };
    estate.policies.iter().filter_map(soft).collect()
}

fn between(
    snapshot: &Snapshot,
    from: WorkloadIx,
    to: WorkloadIx,
    now: Timestamp,
    all: &mut Vec<Reach>,
) {
    let (Some(source), Some(target)) = (snapshot.get(from), snapshot.get(to)) else {
        return;
    };
    let Some(dialect) = snapshot.dialect(to) else {
        return;
    };
    // Guardrails that are about the two, each with its operations as this receiver reads them, and whether it always holds.
    let bars: Vec<(&Guardrail, Vec<Pattern>, bool)> = snapshot
        .guards(from, to)
        .filter_map(|guardrail| {
            let settled = guardrail
                .when
                .as_ref()
                .map(|when| snapshot.settled(when, [from, to]));
            let always = match settled {
                Some(Some(Asked::Fails)) => return None,
                Some(None) => false,
                None | Some(Some(_)) => true,
            };
            Some((guardrail, guardrail.patterns(dialect), always))
        })
        .collect();
    let mut rows = Extent::default();
    for region in snapshot.agreed(from, to, now) {
        if region.term.soft.is_some() {
            continue;
        }
        let mut patches = vec![region.patch.clone()];
        let mut denied = Vec::new();
        for (guardrail, patterns, _) in bars.iter().filter(|(_, _, always)| *always) {
            match guardrail.forbids {
                Forbids::Listed => denied.extend(patterns),
                Forbids::Others => {
                    let each = |patch: &Patch| -> Vec<Patch> {
                        patterns.iter().filter_map(|it| patch.within(it)).collect()
                    };
                    patches = patches.iter().flat_map(each).collect();
                }
            }
        }
        for patch in patches {
            let left = denied.iter().fold(patch.clone(), |left, it| left.but(it));
            if left.example(target.path_allowances.into()) != Witness::None {
                rows.add(Region {
                    patch,
                    ..region.clone()
                });
            }
        }
    }
    let rule = |reference| Some(snapshot.rule_at(reference)?.at.clone());
    for Region {
        patch,
        term,
        ours,
        theirs,
    } in &rows.regions
    {
        let touching = bars.iter().filter(|(guardrail, patterns, _)| {
            let overlaps = patterns.iter().any(|it| it.overlaps(&patch.pattern));
            let inside = patterns.iter().any(|it| covers(it, &patch.pattern));
            match guardrail.forbids {
                Forbids::Listed => overlaps,
                Forbids::Others => !inside,
            }
        });
        let Some(ours) = rule(*ours) else {
            continue;
        };
        all.push(Reach {
            from: source.id.clone(),
            to: target.id.clone(),
            protocol: dialect.0,
            operation: written(&patch.pattern),
            when: term.conditions(),
            until: term.until,
            guardrails: touching
                .map(|(guardrail, ..)| guardrail.name.to_string())
                .collect(),
            rule: ours,
            receive_rule: rule(*theirs),
            pattern: patch.pattern.clone(),
        });
    }
}
