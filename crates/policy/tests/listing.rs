//! What is listed is what is decided, and what lint calls dead is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use ringfence_model::operation::Pattern;
use ringfence_model::path::Allowances;
use ringfence_model::{Estate, Protocol};
use ringfence_policy::{Reach, Snapshot, lint, reach};

const TODAY: Date = date(2026, 6, 1);

fn http(text: &str) -> Pattern {
    Pattern::parse(text, Protocol::Http, Allowances::default()).unwrap()
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("*")];
    let tail = prop_oneof![4 => Just(""), 1 => Just("/"), 2 => Just("/**")];
    let method =
        prop_oneof![2 => Just("GET"), 1 => Just("PUT"), 1 => Just("WEBSOCKET"), 1 => Just("*")];
    (method, proptest::collection::vec(segment, 1..3), tail).prop_map(|(method, segments, tail)| {
        let path: String = segments
            .iter()
            .map(|segment| format!("/{segment}"))
            .collect();
        format!("{method} {path}{tail}")
    })
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
    quoted.join(", ")
}

/// Agent `a`, service `s`, one policy, at most two guardrails.
fn text(
    initiate: &[String],
    receive: &Option<Vec<String>>,
    bars: &[(bool, Vec<String>)],
) -> String {
    let receive = receive.as_ref().map_or_else(String::new, |it| {
        format!(", receive: [{{agent: a, operations: [{}]}}]", list(it))
    });
    let mut text = format!(
        "kind: Service\nmetadata: {{name: s}}\nspec: {{protocol: http, port: 80{receive}}}\n---\nkind: Agent\nmetadata: {{name: a}}\n---\nkind: Policy\nmetadata: {{name: p}}\nspec: {{agent: a, initiate: [{{service: s, operations: [{}]}}]}}\n",
        list(initiate)
    );
    for (index, (deny, operations)) in bars.iter().enumerate() {
        let key = if *deny { "deny" } else { "only" };
        text += &format!(
            "---\nkind: Guardrail\nmetadata: {{name: g{index}}}\nspec: {{owner: x, reason: y, from: ['*'], to: ['*'], {key}: [{}]}}\n",
            list(operations)
        );
    }
    text
}

fn decisions(snapshot: &Snapshot) -> Vec<bool> {
    universe()
        .iter()
        .map(|request| allows(snapshot, "a", "s", request))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rows_are_what_is_decided(
        initiate in proptest::collection::vec(pattern(), 1..4),
        receive in proptest::option::of(proptest::collection::vec(pattern(), 1..4)),
        bars in proptest::collection::vec((any::<bool>(), proptest::collection::vec(pattern(), 1..3)), 0..3),
    ) {
        let estate = estate(&text(&initiate, &receive, &bars));
        let snapshot = try_compile(&estate).unwrap();
        let rows = reach(&snapshot, now());
        for (request, allowed) in universe().iter().zip(decisions(&snapshot)) {
            let exact = http(request);
            let of: Vec<&Reach> = rows.iter().filter(|row| http(&row.operation).overlaps(&exact)).collect();
            prop_assert!(!allowed || !of.is_empty(), "{request} is allowed and not listed");
            prop_assert!(
                allowed || of.iter().all(|row| !row.guardrails.is_empty()),
                "{request} is listed without a word and denied"
            );
        }
    }

    /// A rule that lint calls dead, swallowed or forbidden can be taken away.
    #[test]
    fn what_lint_calls_needless_changes_nothing(
        initiate in proptest::collection::vec(pattern(), 1..5),
        receive in proptest::option::of(proptest::collection::vec(pattern(), 1..4)),
        bars in proptest::collection::vec((any::<bool>(), proptest::collection::vec(pattern(), 1..3)), 0..3),
    ) {
        let estate = estate(&text(&initiate, &receive, &bars));
        let before = decisions(&try_compile(&estate).unwrap());
        for finding in lint(&estate, TODAY) {
            let mut less: Estate = estate.clone();
            match finding.code.id {
                "RF1001" | "RF1002" | "RF1006" if finding.resource == "policy p" => {
                    let rules = &mut less.policies[0].initiate[0].operations;
                    rules.retain(|rule| rule.at != finding.at);
                    prop_assert_eq!(rules.len() + 1, initiate.len());
                }
                "RF1002" | "RF1004" => {
                    let rules = &mut less.services[0].receive.as_mut().unwrap()[0].operations;
                    rules.retain(|rule| rule.at != finding.at);
                }
                "RF1003" => less.policies[0].initiate.clear(),
                "RF1009" => less.guardrails.retain(|it| it.at != finding.at),
                _ => continue,
            }
            let after = decisions(&try_compile(&less).unwrap());
            prop_assert_eq!(&before, &after, "{}", finding.message);
        }
    }
}

fn rows(text: &str) -> Vec<(String, Vec<String>, Vec<String>)> {
    let row = |it: Reach| {
        (
            format!("{} {} {}", it.from.name, it.to.name, it.operation),
            it.when,
            it.guardrails,
        )
    };
    reach(&compile(text), now()).into_iter().map(row).collect()
}

#[test]
fn both_ends_narrow_a_row_and_conditions_stand_beside_it() {
    let text = "kind: Service\nmetadata: {name: s}\nspec: {protocol: http, port: 80, receive: [{agent: a, operations: ['GET /a/*', {allow: '* /b', when: task == 'y'}]}]}\n---\nkind: Agent\nmetadata: {name: a}\n---\nkind: Policy\nmetadata: {name: p}\nspec: {agent: a, initiate: [{service: s, operations: ['GET /**', {allow: GET /a/x, when: task == 'x'}, {allow: GET /a/**, until: 2026-05-31}, PUT /b]}]}\n---\nkind: Guardrail\nmetadata: {name: g}\nspec: {owner: x, reason: y, from: ['*'], to: [s], deny: ['GET /a/y'], when: task == 'z'}\n";
    let when = |text: &str| vec![text.to_owned()];
    assert_eq!(
        rows(text),
        [
            ("a s GET /a/*".to_owned(), vec![], when("g")),
            ("a s GET /b".to_owned(), when("task == 'y'"), vec![]),
            ("a s PUT /b".to_owned(), when("task == 'y'"), vec![]),
        ]
    );
}

#[test]
fn an_exemption_ends_what_is_listed() {
    let with = |until: &str| {
        format!(
            "kind: Service\nmetadata: {{name: s}}\nspec: {{protocol: tcp, port: 80, endpoints: [{{address: 'x:1'}}], mutualAuth: {{exempt: y, until: {until}}}}}\n---\nkind: Agent\nmetadata: {{name: a}}\n---\nkind: Policy\nmetadata: {{name: p}}\nspec: {{agent: a, initiate: [{{service: s, operations: [connect], until: 2027-01-01}}]}}\n"
        )
    };
    assert_eq!(rows(&with("2026-05-31")), []);
    let found = reach(&compile(&with("2026-06-01")), now());
    assert_eq!(
        (found[0].operation.as_str(), found[0].until),
        ("connect", Some(TODAY))
    );
    let found = reach(&compile(&with("2028-01-01")), now());
    assert_eq!(found[0].until, Some(date(2027, 1, 1)));
}
