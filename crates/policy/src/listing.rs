//! Who may reach what, as both ends, guardrails and the calendar leave it.

use jiff::civil::Date;
use ringfence_model::operation::Pattern;
use ringfence_model::resource::Policy;
use ringfence_model::{Estate, Position, Protocol, WorkloadId};

use crate::lint::remains;
use crate::lint::view::{Bar, Receives, Rule, View, Workload};
use crate::patterns::{covers, meet, written};

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

/// All that may be done on the day `today` (UTC), by initiator and receiver. Equal and narrower operations of the same two
/// are left out.
pub fn reach(estate: &Estate, today: Date) -> Vec<Reach> {
    let view = View::new(estate, today);
    let mut all = Vec::new();
    for from in view.workloads.values() {
        for (peer, list) in &from.initiates {
            if let Some(to) = view.workloads.get(peer) {
                between(&view, from, to, &list.rules, &mut all);
            }
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

/// A row while it is made.
struct Draft<'a> {
    pattern: Pattern,
    ours: &'a Rule<'a>,
    theirs: Option<&'a Rule<'a>>,
}

impl Draft<'_> {
    fn conditions(&self) -> Vec<&str> {
        let rules = [Some(self.ours), self.theirs];
        let conditions = rules
            .into_iter()
            .flatten()
            .filter_map(|rule| rule.operation.when.as_ref());
        conditions.map(|when| when.text.as_str()).collect()
    }

    fn until(&self) -> Option<Date> {
        let theirs = self.theirs.and_then(|rule| rule.operation.until);
        [self.ours.operation.until, theirs]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the other one says all that this one says. Conditions see names of segments, which may differ.
    fn within(&self, other: &Self) -> bool {
        let ends = match (other.until(), self.until()) {
            (None, _) => true,
            (Some(other), Some(own)) => other >= own,
            (Some(_), None) => false,
        };
        other.conditions().is_empty() && ends && covers(&other.pattern, &self.pattern)
    }
}

fn between(
    view: &View<'_>,
    from: &Workload<'_>,
    to: &Workload<'_>,
    rules: &[Rule<'_>],
    all: &mut Vec<Reach>,
) {
    let Some(serves) = to.serves else {
        return;
    };
    let exemption = to.service.and_then(crate::lint::exemption);
    if exemption.is_some_and(|until| until < view.today) {
        return;
    }
    let theirs: Option<&[Rule<'_>]> = match &to.receives {
        Receives::Anyone => None,
        Receives::NoPolicy => return,
        Receives::Listed(lists, _) => match lists.get(&from.id.name) {
            Some(list) => Some(&list.rules),
            None => return,
        },
    };
    let bars: Vec<(&Bar<'_>, Vec<Pattern>)> = view
        .bars(&from.id.name, &to.id.name)
        .map(|bar| (bar, bar.patterns(serves)))
        .collect();
    let always = |bar: &Bar<'_>| bar.guardrail.when.is_none();
    let only: Vec<&[Pattern]> = bars
        .iter()
        .filter(|(bar, _)| always(bar) && !bar.denies())
        .map(|(_, patterns)| patterns.as_slice())
        .collect();
    let denied: Vec<&[Pattern]> = bars
        .iter()
        .filter(|(bar, _)| always(bar) && bar.denies())
        .map(|(_, patterns)| patterns.as_slice())
        .collect();
    let mut drafts = agreed(view.today, rules, theirs);
    for list in only {
        drafts = narrowed(drafts, list);
    }
    drafts.retain(|draft| remains(&draft.pattern, &[], &denied, serves.1));
    for draft in distinct(drafts) {
        let touching = bars.iter().filter(|(bar, patterns)| {
            let overlaps = patterns.iter().any(|it| it.overlaps(&draft.pattern));
            let inside = patterns.iter().any(|it| covers(it, &draft.pattern));
            if bar.denies() { overlaps } else { !inside }
        });
        all.push(Reach {
            from: from.id.clone(),
            to: to.id.clone(),
            protocol: serves.0,
            operation: written(&draft.pattern),
            when: draft.conditions().into_iter().map(str::to_owned).collect(),
            until: draft.until().into_iter().chain(exemption).min(),
            guardrails: touching
                .map(|(bar, _)| bar.guardrail.name.to_string())
                .collect(),
            rule: draft.ours.operation.at.clone(),
            receive_rule: draft.theirs.map(|rule| rule.operation.at.clone()),
        });
    }
}

/// What both lists have, pattern by pattern.
fn agreed<'a>(today: Date, ours: &'a [Rule<'a>], theirs: Option<&'a [Rule<'a>]>) -> Vec<Draft<'a>> {
    let mut drafts = Vec::new();
    for ours in ours.iter().filter(|rule| !rule.ended(today)) {
        match theirs {
            None => drafts.push(Draft {
                pattern: ours.pattern.clone(),
                ours,
                theirs: None,
            }),
            Some(theirs) => {
                let live = theirs.iter().filter(|rule| !rule.ended(today));
                drafts.extend(live.filter_map(|theirs| {
                    Some(Draft {
                        pattern: meet(&ours.pattern, &theirs.pattern)?,
                        ours,
                        theirs: Some(theirs),
                    })
                }));
            }
        }
    }
    drafts
}

fn narrowed<'a>(drafts: Vec<Draft<'a>>, list: &[Pattern]) -> Vec<Draft<'a>> {
    let each = |draft: Draft<'a>| {
        let met: Vec<Draft<'a>> = list
            .iter()
            .filter_map(|only| {
                Some(Draft {
                    pattern: meet(&draft.pattern, only)?,
                    ..draft
                })
            })
            .collect();
        met
    };
    drafts.into_iter().flat_map(each).collect()
}

/// Without those that another one says as well; of two that say the same, the first stays.
fn distinct(drafts: Vec<Draft<'_>>) -> Vec<Draft<'_>> {
    let mut kept: Vec<Draft<'_>> = Vec::new();
    for draft in drafts {
        if !kept.iter().any(|other| draft.within(other)) {
            kept.retain(|other| !other.within(&draft));
            kept.push(draft);
        }
    }
    kept
}
