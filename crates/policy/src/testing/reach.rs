//! Tests of what a workload that was taken over can reach.

use ringfence_model::Diagnostic;
use ringfence_model::resource::ReachCase;

use super::{Claimed, TestReport};
use crate::explain::cut;
use crate::snapshot::{Snapshot, WorkloadIx};
use crate::spread::{Edge, Web};

/// Most steps of a way that are told; of a longer one, the first and the last.
const STEPS_SHOWN: usize = 12;

/// Asks one. Conditions count as if they were true where something must be out of reach, and as false where it must be
/// reachable.
pub(super) fn check(
    snapshot: &Snapshot,
    web: &mut Web<'_>,
    of: String,
    case: &ReachCase,
) -> TestReport {
    let ReachCase {
        from,
        to,
        reachable,
        hops,
        at,
    } = case;
    let (from, to) = (from.as_str(), to.as_str());
    let within = match hops {
        None => String::new(),
        Some(1) => " directly".to_owned(),
        Some(hops) => format!(" within {hops} hops"),
    };
    let ends = snapshot.find(from).zip(snapshot.find(to));
    let way = ends.and_then(|(from, to)| web.way(from, to, *hops, *reachable));
    let steps = way.map(|way| steps(web, &way)).unwrap_or_default();
    let reason = match (ends, steps.is_empty()) {
        (None, _) => format!("{from} or {to} does not exist"),
        (Some(_), true) if *reachable => {
            format!("{from} reaches {to}{within} in no way without conditions")
        }
        (Some(_), true) => format!("{from} reaches {to}{within} in no way"),
        (Some(_), false) => words(&steps),
    };
    let holds = ends.is_some() && steps.is_empty() != *reachable;
    let rule = steps.first().and_then(|edge| edge.rule.clone());
    let failure = (!holds).then(|| {
        let (should, help) = match reachable {
            true => (
                "should be reachable",
                "let each on the way name the next, and the next receive it, or change the test",
            ),
            false => (
                "should be out of reach",
                "take one of these rules away or narrow it, add a guardrail, or change the test",
            ),
        };
        Diagnostic {
            at: Some(at.clone()),
            message: format!(
                "a test of {of} does not hold: {to} {should} of {from}{within}: {reason}"
            ),
            text: None,
            help: Some(help.to_owned()),
            also: rule.clone(),
        }
    });
    TestReport {
        of,
        from: from.to_owned(),
        to: to.to_owned(),
        claimed: Claimed::Reach {
            reachable: *reachable,
            hops: *hops,
        },
        at: at.clone(),
        reason,
        rule,
        failure,
    }
}

fn steps(web: &mut Web<'_>, way: &[WorkloadIx]) -> Vec<Edge> {
    let pairs = way.iter().zip(way.iter().skip(1));
    let edges = pairs.filter_map(|(&from, &to)| web.edge(from, to).cloned());
    edges.collect()
}

/// `a → b : GET /x (p.yaml:3:5 and s.yaml:7:2) → c : connect (p.yaml:9:5)`
fn words(steps: &[Edge]) -> String {
    let mut words = steps
        .first()
        .map_or_else(String::new, |it| it.from.name.to_string());
    for (index, step) in steps.iter().enumerate() {
        if steps.len() > STEPS_SHOWN && (STEPS_SHOWN - 1..steps.len() - 1).contains(&index) {
            if index == STEPS_SHOWN - 1 {
                words += &format!(" → … {} more", steps.len() - STEPS_SHOWN);
            }
            continue;
        }
        let example = step.example.as_deref().unwrap_or("perhaps something");
        words += &format!(" → {} : {}", step.to.name, cut(example));
        let rules: Vec<String> = [&step.rule, &step.receive_rule]
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let mut beside = rules.join(" and ");
        for condition in &step.depends.when {
            beside += &format!(", when {}", cut(condition));
        }
        if !beside.is_empty() {
            words += &format!(" ({beside})");
        }
    }
    words
}
