//! What people are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use ringfence_policy::{Answer, Snapshot};

fn bank() -> Snapshot {
    compile(
        "kind: Service\nmetadata: {name: data}\nspec: {protocol: http, port: 80}\n---\n\
         kind: Service\nmetadata: {name: payments}\nspec:\n  protocol: http\n  port: 80\n  receive:\n  - {agent: teller, operations: ['POST /v1/payments', 'GET /v1/*/']}\n---\n\
         kind: Agent\nmetadata: {name: clerk}\n---\n\
         kind: Agent\nmetadata: {name: teller}\n---\n\
         kind: Policy\nmetadata: {name: clerk-policy}\nspec:\n  agent: clerk\n  initiate:\n  - service: data\n    operations:\n    - GET /customers/*\n    - PATCH /customers/*/notes\n---\n\
         kind: Policy\nmetadata: {name: teller}\nspec:\n  agent: teller\n  initiate:\n  - {service: payments, operations: ['* /v1/**']}\n",
    )
}

fn told(from: &str, to: &str, op: &str) -> (String, String) {
    let explanation = bank().explain_text(from, to, op, &moment(now()));
    let nearest = explanation
        .nearest
        .map(|(at, words)| format!("{at} {words}"));
    assert_eq!(explanation.mode, "enforce");
    (explanation.reason, nearest.unwrap_or_default())
}

#[test]
fn an_allow_names_the_rules_of_both_ends() {
    let answer = |from, to, op| Answer::from(&bank().explain_text(from, to, op, &moment(now())));
    assert_eq!(
        answer("clerk", "data", "GET /customers/%34"),
        Answer {
            outcome: "allow".into(),
            reason:
                "policy clerk-policy allows GET /customers/*, service data takes whoever names it"
                    .into(),
            rule: Some("a.yaml:31".into()),
            conditional: false,
            needs: Vec::new(),
        }
    );
    assert_eq!(
        answer("teller", "payments.ringfence.internal", "POST /v1/payments"),
        Answer {
            outcome: "allow".into(),
            reason: "policy teller allows * /v1/**, service payments receives POST /v1/payments (a.yaml:13)".into(),
            rule: Some("a.yaml:40".into()),
            conditional: false,
            needs: Vec::new(),
        }
    );
}

#[test]
fn a_denial_names_the_nearest_rule_and_what_differs() {
    for (from, to, op, reason, nearest) in [
        (
            "clerk",
            "data",
            "GET /customers/4/notes",
            "no rule of policy clerk-policy for service data allows GET /customers/4/notes",
            "a.yaml:32 PATCH /customers/*/notes: method differs: the rule allows PATCH",
        ),
        (
            "clerk",
            "data",
            "PATCH /customers/4/name",
            "no rule of policy clerk-policy for service data allows PATCH /customers/4/name",
            "a.yaml:32 PATCH /customers/*/notes: segment 3 differs: the rule has \"notes\"",
        ),
        (
            "clerk",
            "data",
            "GET /customers/4/",
            "no rule of policy clerk-policy for service data allows GET /customers/4/",
            "a.yaml:31 GET /customers/*: the path ends in /, the rule's does not",
        ),
        (
            "clerk",
            "data",
            "GET /customers/",
            "no rule of policy clerk-policy for service data allows GET /customers/",
            "a.yaml:31 GET /customers/*: segment 2 is empty, the rule wants one that is not",
        ),
        (
            "clerk",
            "data",
            "GET /customers",
            "no rule of policy clerk-policy for service data allows GET /customers",
            "a.yaml:31 GET /customers/*: the path has 1 segments, the rule 2",
        ),
        (
            "clerk",
            "payments",
            "GET /customers/4",
            "no rule of policy clerk-policy names service payments",
            "a.yaml:31 GET /customers/*: it is for service data",
        ),
        (
            "teller",
            "payments",
            "GET /v1/x",
            "service payments does not receive GET /v1/x from agent teller",
            "a.yaml:13 GET /v1/*/: the rule's path ends in /",
        ),
        (
            "data",
            "payments",
            "GET /",
            "service data has no policy, so it may start nothing",
            "",
        ),
        (
            "clerk",
            "teller",
            "GET /",
            "agent teller serves nothing",
            "",
        ),
        (
            "nobody",
            "data",
            "GET /",
            "no agent or service is called \"nobody\"",
            "",
        ),
        (
            "clerk",
            "a\nb",
            "GET /",
            "no agent or service is called \"a\\nb\"",
            "",
        ),
        (
            "clerk",
            "data",
            "GET",
            "\"GET\" is not METHOD /path; write a method, one space, and a path, such as GET /customers/*",
            "",
        ),
        (
            "clerk",
            "data",
            "GET /..",
            "the path holds a dot segment: \"/..\"; write the path that the dots lead to",
            "",
        ),
    ] {
        assert_eq!(
            told(from, to, op),
            (reason.to_owned(), nearest.to_owned()),
            "{from} {to} {op}"
        );
    }
}

#[test]
fn long_and_hostile_texts_are_cut_and_escaped() {
    let long = "x".repeat(5000);
    for (to, op) in [
        (long.as_str(), "GET /"),
        ("data", long.as_str()),
        ("data", &format!("GET /{long}")),
    ] {
        let (reason, _) = told("clerk", to, op);
        assert!(reason.len() < 400, "{}", reason.len());
    }
    let (reason, _) = told("clerk", "data", "GET /\u{1b}[31m");
    assert!(!reason.contains('\u{1b}'), "{reason:?}");
}
