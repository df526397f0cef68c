//! Who answers for it, when it is read again, and what holds it to its meaning.

use std::collections::HashSet;

use ringfence_model::resource::Policy;
use ringfence_model::{Name, Position};

use super::Finding;
use super::codes::{NO_OWNER, NO_REVIEW, NO_TESTS, OVERDUE};
use super::view::View;

pub(super) fn find(view: &View<'_>, findings: &mut Vec<Finding>) {
    let estate = view.estate;
    let services = estate
        .services
        .iter()
        .map(|it| ("service", &it.name, &it.owner, &it.at));
    let agents = estate
        .agents
        .iter()
        .map(|it| ("agent", &it.name, &it.owner, &it.at));
    let policies = estate
        .policies
        .iter()
        .map(|it| ("policy", &it.name, &it.owner, &it.at));
    let all: Vec<(&str, &Name, &Option<String>, &Position)> =
        services.chain(agents).chain(policies).collect();
    for (kind, name, owner, at) in all {
        if owner.is_none() {
            findings.push(Finding::new(
                &NO_OWNER,
                format!("{kind} {name}"),
                at,
                format!("{kind} {name} has no owner"),
                "add `owner: TEAM`, so that somebody can be asked about it",
            ));
        }
    }
    let cases = estate.tests.iter().flat_map(|test| &test.cases);
    let reaches = estate.tests.iter().flat_map(|test| &test.reaches);
    let tested: HashSet<&Name> = cases
        .flat_map(|case| [&case.from, &case.to])
        .chain(reaches.flat_map(|case| [&case.from, &case.to]))
        .collect();
    for policy in &estate.policies {
        review(view, policy, findings);
        if policy.tests.is_empty() && !tested.contains(&policy.subject.name) {
            findings.push(Finding::new(
                &NO_TESTS,
                format!("policy {}", policy.name),
                &policy.at,
                format!(
                    "no test says what {} must be allowed or denied",
                    policy.subject
                ),
                "add `tests: [{to: NAME, allow: OPERATION}, {to: NAME, deny: OPERATION}]`",
            ));
        }
    }
}

fn review(view: &View<'_>, policy: &Policy, findings: &mut Vec<Finding>) {
    let resource = format!("policy {}", policy.name);
    match policy.review_by {
        None => findings.push(Finding::new(
            &NO_REVIEW,
            resource,
            &policy.at,
            "the policy has no day by which it is read again",
            "add `reviewBy: DATE`",
        )),
        Some(due) if due < view.today => findings.push(Finding::new(
            &OVERDUE,
            resource,
            &policy.at,
            format!("the review was due on {due}"),
            "read it again, then move `reviewBy`",
        )),
        Some(_) => {}
    }
}
