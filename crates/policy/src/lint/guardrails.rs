//! Guardrails that stand where nobody walks.

use ringfence_model::Protocol;
use ringfence_model::operation::{Pattern, Segment, WEBSOCKET};

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
                    forbids(&patterns, serves.0)
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

/// Whether `only` these forbids anything. `*` does not speak of WebSockets, which are of http alone.
fn forbids(patterns: &[Pattern], protocol: Protocol) -> bool {
    let has_all = |method: Option<&str>| {
        patterns.iter().any(|pattern| match pattern {
            Pattern::Connect | Pattern::Send => true,
            Pattern::Grpc(call) => call
                .segments
                .iter()
                .all(|name| matches!(name, Segment::One(_))),
            Pattern::Http(http) => {
                http.method.as_deref() == method && http.rest && http.segments.is_empty()
            }
        })
    };
    !has_all(None) || (protocol == Protocol::Http && !has_all(Some(WEBSOCKET)))
}

fn someone_calls(view: &View<'_>, bar: &Bar<'_>, to: &ringfence_model::Name) -> bool {
    view.workloads
        .keys()
        .any(|from| *from != to && bar.applies(from, to))
}
