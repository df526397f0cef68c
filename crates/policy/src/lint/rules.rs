//! Rules that do nothing, do it twice, or meet a closed door.

use std::collections::HashMap;

use ringfence_model::operation::{METHOD_SENT_MAX, Pattern, Segment, WEBSOCKET};
use ringfence_model::resource::OperationPattern;
use ringfence_model::{Name, Position};

use super::Finding;
use super::codes::{
    DEAD_RULE, ENDED_RULE, FORBIDDEN_RULE, NEVER_ASKED, ODD_METHOD, READS_BODY, REFUSED_EDGE,
    SWALLOWED, UNSENDABLE,
};
use super::possible::remains;
use super::view::{List, Receives, Rule, View, Workload};
use crate::condition::{self, Allowed, names_of};
use crate::explain::cut;
use crate::patterns::covers;

/// Methods that are written in capitals wherever they are spoken (RFC 9110, RFC 5789).
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", WEBSOCKET,
];

pub(super) fn find(view: &View<'_>, findings: &mut Vec<Finding>) {
    for workload in view.workloads.values() {
        if let Some(policy) = workload.policy {
            let resource = format!("policy {}", policy.name);
            for (peer, list) in &workload.initiates {
                each(view, &resource, list, findings);
                if let Some(receiver) = view.workloads.get(peer) {
                    edge(view, &resource, workload, receiver, list, findings);
                }
            }
        }
        if let Receives::Listed(lists, resource) = &workload.receives {
            for (peer, list) in lists {
                each(view, resource, list, findings);
                if let Some(initiator) = view.workloads.get(peer) {
                    asked(view, resource, initiator, workload, list, findings);
                }
            }
        }
    }
}

/// What one list shows by itself.
fn each(view: &View<'_>, resource: &str, list: &List<'_>, findings: &mut Vec<Finding>) {
    for rule in &list.rules {
        let operation = rule.operation;
        let text = cut(&operation.text);
        if let Some(until) = operation.until.filter(|_| rule.ended(view.today)) {
            findings.push(Finding::new(
                &ENDED_RULE,
                resource,
                &operation.at,
                format!("{text} ended with {until} and allows nothing"),
                "remove it, or move `until`",
            ));
        }
        if let Some(found) = method(resource, rule) {
            findings.push(found);
        }
        if let Some(when) = operation.when.as_ref().filter(|_| reads_body(rule)) {
            findings.push(Finding::new(
                &READS_BODY,
                resource,
                &when.at,
                format!("the condition of {text} reads the body: each request waits until its body is there, 64 KiB at most"),
                "ask after the path, the query or a header instead, where they say the same",
            ));
        }
    }
    swallowed(resource, list, findings);
}

/// Methods that nothing sends, or nothing lets through.
fn method(resource: &str, rule: &Rule<'_>) -> Option<Finding> {
    let Pattern::Http(http) = &rule.pattern else {
        return None;
    };
    let method = http.method.as_deref()?;
    let at = &rule.operation.at;
    if method.eq_ignore_ascii_case("CONNECT") {
        let help = "remove it: a tunnel would carry what nobody reads, so it is never let through; use a tcp service";
        return Some(Finding::new(
            &UNSENDABLE,
            resource,
            at,
            "no request has the method CONNECT",
            help,
        ));
    }
    if method.len() > METHOD_SENT_MAX {
        let message = format!(
            "no request has a method of {} bytes: {METHOD_SENT_MAX} is the most",
            method.len()
        );
        let help = "write the method that is meant, or * for any";
        return Some(Finding::new(&UNSENDABLE, resource, at, message, help));
    }
    let usual = METHODS
        .into_iter()
        .find(|usual| usual.eq_ignore_ascii_case(method))?;
    (usual != method).then(|| {
        let message = format!("{method} is not {usual}: methods are compared letter by letter");
        Finding::new(&ODD_METHOD, resource, at, message, format!("write {usual}"))
    })
}

/// Whether a condition reads the body, as the compiler of policy sees it.
fn reads_body(rule: &Rule<'_>) -> bool {
    let Some(when) = &rule.operation.when else {
        return false;
    };
    let (protocol, names) = names_of(&rule.pattern);
    let allowed = Allowed {
        protocol: Some(protocol),
        names: &names,
    };
    condition::compile(&when.text, &allowed).is_ok_and(|condition| condition.needs().body)
}

/// Rules of one list that another rule of it makes needless. Equal ones are found by their hash; only rules with a wildcard
/// can swallow others, and they are few.
fn swallowed(resource: &str, list: &List<'_>, findings: &mut Vec<Finding>) {
    let mut first: HashMap<Pattern, Vec<&Rule<'_>>> = HashMap::new();
    let wide: Vec<&Rule<'_>> = list
        .rules
        .iter()
        .filter(|rule| is_wide(&rule.pattern))
        .collect();
    for rule in &list.rules {
        let equal = first.entry(nameless(&rule.pattern)).or_default();
        let twin = equal
            .iter()
            .copied()
            .find(|other| allows_as_much(other, rule));
        let by = twin.or_else(|| {
            wide.iter().copied().find(|other| {
                covers(&other.pattern, &rule.pattern)
                    && !covers(&rule.pattern, &other.pattern)
                    && allows_as_much(other, rule)
            })
        });
        equal.push(rule);
        if let Some(by) = by {
            let text = cut(&rule.operation.text);
            let message = format!(
                "{text} adds nothing: {} at {} allows all of it",
                cut(&by.operation.text),
                by.operation.at
            );
            let help = "remove it, or narrow the other one";
            findings.push(
                Finding::new(&SWALLOWED, resource, &rule.operation.at, message, help)
                    .also(Some(&by.operation.at)),
            );
        }
    }
}

/// The same set of operations, without the names people gave to segments.
fn nameless(pattern: &Pattern) -> Pattern {
    let mut pattern = pattern.clone();
    if let Pattern::Http(http) = &mut pattern {
        for segment in &mut http.segments {
            if let Segment::One(name) = segment {
                *name = None;
            }
        }
    }
    pattern
}

fn is_wide(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Connect | Pattern::Send => false,
        Pattern::Http(http) | Pattern::Grpc(http) => {
            let wildcard = |segment: &Segment| matches!(segment, Segment::One(_));
            http.method.is_none() || http.rest || http.segments.iter().any(wildcard)
        }
    }
}

/// Whether `other`, which covers `rule`, holds whenever `rule` does. A condition holds as often as itself only in the same
/// words about the same path.
fn allows_as_much(other: &Rule<'_>, rule: &Rule<'_>) -> bool {
    let (other, rule): (&OperationPattern, &OperationPattern) = (other.operation, rule.operation);
    let condition = match (&other.when, &rule.when) {
        (None, _) => true,
        (Some(a), Some(b)) => a.text == b.text && other.text == rule.text,
        (Some(_), None) => false,
    };
    let ends = match (other.until, rule.until) {
        (None, _) => true,
        (Some(other), Some(rule)) => other >= rule,
        (Some(_), None) => false,
    };
    condition && ends
}

/// What an initiator's list comes to at its receiver.
fn edge(
    view: &View<'_>,
    resource: &str,
    initiator: &Workload<'_>,
    receiver: &Workload<'_>,
    list: &List<'_>,
    findings: &mut Vec<Finding>,
) {
    let (Some(at), Some(serves)) = (list.at, receiver.serves) else {
        return;
    };
    let (from, to) = (&initiator.id, &receiver.id);
    let refused = |message: String, help: String, also: Option<&Position>| {
        Finding::new(&REFUSED_EDGE, resource, at, message, help).also(also)
    };
    let received = match &receiver.receives {
        Receives::Anyone => None,
        Receives::NoPolicy => {
            let message = format!("{to} has no policy, so nothing may reach it");
            findings.push(refused(
                message,
                format!("add a Policy for {to} that receives {from}, or remove this entry"),
                None,
            ));
            return;
        }
        Receives::Listed(lists, by) => match lists.get(&from.name) {
            Some(theirs) => Some(theirs),
            None => {
                let message = format!("{to} does not receive from {from}");
                let help = format!("add {from} to `receive` in {by}, or remove this entry");
                findings.push(refused(message, help, None));
                return;
            }
        },
    };
    let theirs = received.map(|theirs| theirs.patterns(view.today));
    let live = || list.rules.iter().filter(|rule| !rule.ended(view.today));
    let taken = |rule: &Rule<'_>| {
        theirs
            .as_ref()
            .is_none_or(|theirs| theirs.iter().any(|their| their.overlaps(&rule.pattern)))
    };
    if live().next().is_some() && !live().any(&taken) {
        findings.push(refused(
            format!("{to} takes nothing of what is initiated here"),
            "let the two lists have an operation in common, or remove both entries".to_owned(),
            received.and_then(|theirs| theirs.at),
        ));
        return;
    }
    let bars = standing(view, &from.name, &to.name, serves);
    for rule in live() {
        let operation = rule.operation;
        let text = cut(&operation.text);
        if !taken(rule) {
            let message = format!("{text} allows nothing: {to} takes none of it from {from}");
            let help = "remove it, or let the receiver take it";
            findings.push(
                Finding::new(&DEAD_RULE, resource, &operation.at, message, help)
                    .also(received.and_then(|theirs| theirs.at)),
            );
        } else if let Some(found) = forbidden(rule, theirs.as_deref(), &bars, serves.1) {
            let message = format!(
                "{text} allows nothing: guardrail {} forbids all of it",
                found.names
            );
            let help = "remove it, or narrow the guardrail";
            findings.push(
                Finding::new(&FORBIDDEN_RULE, resource, &operation.at, message, help)
                    .also(Some(found.at)),
            );
        }
    }
}

/// The guardrails without a condition between two workloads.
struct Standing<'a> {
    bars: Vec<(&'a ringfence_model::resource::Guardrail, bool, Vec<Pattern>)>,
}

fn standing<'a>(
    view: &View<'a>,
    from: &Name,
    to: &Name,
    serves: (ringfence_model::Protocol, ringfence_model::path::Allowances),
) -> Standing<'a> {
    let always = view
        .bars(from, to)
        .filter(|bar| bar.guardrail.when.is_none());
    Standing {
        bars: always
            .map(|bar| (bar.guardrail, bar.denies(), bar.patterns(serves)))
            .collect(),
    }
}

struct Forbidden<'a> {
    names: String,
    at: &'a Position,
}

/// The guardrails that leave nothing of a rule that its receiver takes: one by itself, or all of them together.
fn forbidden<'a>(
    rule: &Rule<'_>,
    theirs: Option<&[Pattern]>,
    standing: &Standing<'a>,
    allowances: ringfence_model::path::Allowances,
) -> Option<Forbidden<'a>> {
    let (first, ..) = standing.bars.first()?;
    let left = |bars: &[(&ringfence_model::resource::Guardrail, bool, Vec<Pattern>)]| {
        let lists = |denies: bool| {
            let of = bars.iter().filter(move |bar| bar.1 == denies);
            of.map(|bar| bar.2.as_slice())
        };
        let required: Vec<&[Pattern]> = theirs.into_iter().chain(lists(false)).collect();
        let denied: Vec<&[Pattern]> = lists(true).collect();
        remains(&rule.pattern, &required, &denied, allowances)
    };
    if left(&standing.bars) {
        return None;
    }
    let alone = standing
        .bars
        .iter()
        .find(|bar| !left(std::slice::from_ref(bar)));
    Some(match alone {
        Some((guardrail, ..)) => Forbidden {
            names: guardrail.name.to_string(),
            at: &guardrail.at,
        },
        None => {
            let names: Vec<&str> = standing
                .bars
                .iter()
                .map(|bar| bar.0.name.as_str())
                .collect();
            Forbidden {
                names: names.join(", "),
                at: &first.at,
            }
        }
    })
}

/// What a receiver's list is asked for. That the two have nothing in common at all is told at the initiator's side.
fn asked(
    view: &View<'_>,
    resource: &str,
    initiator: &Workload<'_>,
    receiver: &Workload<'_>,
    list: &List<'_>,
    findings: &mut Vec<Finding>,
) {
    let from = &initiator.id;
    let Some(ours) = initiator.initiates.get(&receiver.id.name) else {
        if let Some(at) = list.at {
            let message = format!("{from} never initiates this");
            let help = format!(
                "remove it, or let the policy of {from} name {}",
                receiver.id
            );
            findings.push(Finding::new(&NEVER_ASKED, resource, at, message, help));
        }
        return;
    };
    let ours = ours.patterns(view.today);
    let live = || list.rules.iter().filter(|rule| !rule.ended(view.today));
    let wanted = |rule: &Rule<'_>| ours.iter().any(|our| our.overlaps(&rule.pattern));
    if !live().any(&wanted) {
        return;
    }
    for rule in live().filter(|rule| !wanted(rule)) {
        let operation = rule.operation;
        let message = format!("{from} never initiates any of {}", cut(&operation.text));
        let help = format!("remove it, or let the policy of {from} name it");
        findings.push(Finding::new(
            &NEVER_ASKED,
            resource,
            &operation.at,
            message,
            help,
        ));
    }
}
