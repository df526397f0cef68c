//! Guardrails that stand where nobody walks.

use ringfence_model::operation::{Pattern, Segment};

use super::Finding;
use super::codes::IDLE_GUARDRAIL;
use super::view::{Bar, View};

pub(super) fn find(view: &View<'_>, findings: &mut Vec<Finding>) {
    for bar in &view.bars {
        let meets = view.workloads.values().any(|receiver| {
            receiver.serves.is_some_and(|serves| {
                let patterns = bar.patterns(serves);
                let names_something = if bar.denies() {
                    !patterns.is_empty()
                } else {
                    forbids(&patterns)
                };
                names_something && someone_calls(view, bar, &receiver.id.name)
            })
        });
        if !meets {
            let guardrail = bar.guardrail;
            findings.push(Finding::new(
                &IDLE_GUARDRAIL,
                format!("guardrail {}", guardrail.name),
                &guardrail.at,
                "no two different workloads that it names could do what it forbids",
                "check its names and operations: a receiver must serve the protocol that they belong to",
            ));
        }
    }
}

/// Whether `only` these forbids anything.
fn forbids(patterns: &[Pattern]) -> bool {
    !patterns.iter().any(|pattern| match pattern {
        Pattern::Connect | Pattern::Send => true,
        Pattern::Grpc(call) => call
            .segments
            .iter()
            .all(|name| matches!(name, Segment::One(_))),
        Pattern::Http(http) => http.method.is_none() && http.rest && http.segments.is_empty(),
    })
}

fn someone_calls(view: &View<'_>, bar: &Bar<'_>, to: &ringfence_model::Name) -> bool {
    view.workloads
        .keys()
        .any(|from| *from != to && bar.applies(from, to))
}
