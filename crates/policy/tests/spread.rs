//! What is told as reachable is what decisions, one after the other, let be reached.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use ringfence_policy::{Reached, Snapshot, TestReport, Web};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const OPERATIONS: [&str; 7] = [
    "GET /x",
    "GET /*",
    "PUT /x",
    "GET /y/**",
    "* /y/z",
    "WEBSOCKET /x",
    "WEBSOCKET /y/*",
];
const REQUESTS: [&str; 11] = [
    "GET /x",
    "PUT /x",
    "GET /q",
    "GET /y",
    "GET /y/z",
    "PUT /y/z",
    "GET /y/q",
    "GET /y/z/q",
    "WEBSOCKET /x",
    "WEBSOCKET /y/z",
    "WEBSOCKET /y/q",
];

/// Initiator, receiver, operation, and whether a condition stands beside it.
type Rule = (usize, usize, usize, bool);

fn text(initiate: &[Rule], receive: &[Rule], wall: Option<usize>) -> String {
    let list = |rules: &[Rule], of: usize, own: fn(&Rule) -> usize, peer: fn(&Rule) -> usize| {
        let mine = rules.iter().filter(|it| own(it) == of);
        let entries: Vec<String> = mine
            .map(|rule| {
                let when = match rule.3 {
                    true => ", when: task == 't'",
                    false => "",
                };
                format!(
                    "{{agent: {}, operations: [{{allow: '{}'{when}}}]}}",
                    NAMES[peer(rule)],
                    OPERATIONS[rule.2]
                )
            })
            .collect();
        entries.join(", ")
    };
    let mut text = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        text.push(format!(
            "kind: Agent\nmetadata: {{name: {name}}}\nspec: {{serves: {{protocol: http, port: 80}}}}\n"
        ));
        text.push(format!(
            "kind: Policy\nmetadata: {{name: {name}}}\nspec: {{agent: {name}, initiate: [{}], receive: [{}]}}\n",
            list(initiate, index, |it| it.0, |it| it.1),
            list(receive, index, |it| it.1, |it| it.0),
        ));
    }
    if let Some(operation) = wall {
        text.push(format!(
            "kind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: x, reason: y, from: ['*'], to: ['*'], deny: ['{}']}}\n",
            OPERATIONS[operation]
        ));
    }
    text.join("---\n")
}

/// Whether anything passes with the condition true, and with it false.
fn passes(snapshot: &Snapshot, from: &str, to: &str) -> (bool, bool) {
    let ask = |task: &str| {
        REQUESTS.iter().any(|request| {
            let with = ringfence_policy::read_with(&format!(r#"{{"task": "{task}"}}"#)).unwrap();
            let moment = ringfence_policy::Moment::supplied(Some(&with), now()).unwrap();
            snapshot.explain_text(from, to, request, &moment).allowed
        })
    };
    (ask("t"), ask("f"))
}

/// Fewest steps from one to each other.
fn distances(edges: &BTreeMap<(usize, usize), (bool, bool)>, plain: bool) -> [Option<u32>; 6] {
    let mut found = [None; 6];
    found[0] = Some(0);
    for hops in 1..6 {
        for (&(from, to), &(ever, always)) in edges {
            let passes = if plain { always } else { ever };
            if passes && found[from] == Some(hops - 1) && found[to].is_none() {
                found[to] = Some(hops);
            }
        }
    }
    found
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (0usize..6, 0usize..6, 0usize..7, prop::bool::weighted(0.3));
    prop::collection::vec(rule, 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn reach_is_what_decisions_let_be_reached_step_by_step(
        initiate in rules(),
        receive in rules(),
        wall in prop::option::of(0usize..7),
        hops in prop::option::of(1u32..4),
    ) {
        // The same edges agreed by both ends, and some by one alone.
        let receive: Vec<Rule> = initiate.iter().take(initiate.len() * 3 / 4).copied().chain(receive).collect();
        let snapshot = compile(&text(&initiate, &receive, wall));
        let mut edges = BTreeMap::new();
        for (from, source) in NAMES.iter().enumerate() {
            for (to, target) in NAMES.iter().enumerate() {
                if from != to {
                    edges.insert((from, to), passes(&snapshot, source, target));
                }
            }
        }
        let mut web = Web::new(&snapshot, now());
        let from = snapshot.find("a").unwrap();
        let reached = web.spread(from, hops);
        let (ever, plain) = (distances(&edges, false), distances(&edges, true));
        for (index, name) in NAMES.iter().enumerate().skip(1) {
            let within = |it: Option<u32>| it.filter(|it| hops.is_none_or(|hops| *it <= hops));
            let told = reached.iter().find(|it| it.to.name.as_str() == *name);
            prop_assert_eq!(told.map(|it| it.hops), within(ever[index]), "{}", name);
            prop_assert_eq!(told.and_then(|it| it.plain_hops), within(plain[index]), "{}", name);
            let Some(Reached { path, hops, .. }) = told else { continue };
            // The way is one, each step of it passes, and its examples do.
            prop_assert_eq!(path.len() as u32, hops + 1);
            for pair in path.windows(2) {
                let edge = web.edge(pair[0], pair[1]).unwrap().clone();
                let with = ringfence_policy::read_with(r#"{"task": "t"}"#).unwrap();
                let moment = ringfence_policy::Moment::supplied(Some(&with), now()).unwrap();
                let example = edge.example.unwrap();
                let found = snapshot.explain_text(edge.from.name.as_str(), edge.to.name.as_str(), &example, &moment);
                prop_assert!(found.allowed, "{} {} {}", edge.from, edge.to, example);
            }
        }
        let radius = web.radius(from, hops).unwrap();
        prop_assert_eq!(radius.all, reached.len());
        prop_assert_eq!(radius.direct, reached.iter().filter(|it| it.hops == 1).count());
    }
}

const CHAIN: &str = "kind: Agent\nmetadata: {name: a}\n---\nkind: Agent\nmetadata: {name: b}\nspec: {serves: {protocol: http, port: 80}}\n---\nkind: Service\nmetadata: {name: c}\nspec: {protocol: tcp, port: 81}\n---\nkind: Service\nmetadata: {name: d}\nspec: {protocol: udp, port: 82}\n---\nkind: Policy\nmetadata: {name: a}\nspec: {agent: a, initiate: [{agent: b, operations: [POST /jobs]}]}\n---\nkind: Policy\nmetadata: {name: b}\nspec: {agent: b, receive: [{agent: a, operations: ['* /**']}], initiate: [{service: c, operations: [{allow: connect, when: source.labels.x == 'y' || now > timestamp('2020-01-01T00:00:00Z')}]}]}\n---\nkind: Policy\nmetadata: {name: c}\nspec: {service: c, initiate: [{agent: b, operations: ['GET /']}]}\n";

fn reports(claims: &str) -> Vec<TestReport> {
    let estate = estate(&format!("{CHAIN}---\n{claims}"));
    let zone = ringfence_model::HostName::new("ringfence.internal").unwrap();
    let addresses = ringfence_policy::provisional_addresses(&estate);
    let snapshot =
        Snapshot::compile_untested(ringfence_model::Generation(1), &zone, &estate, &addresses)
            .unwrap();
    snapshot.test(&estate).collect()
}

fn claim(spec: &str) -> String {
    format!("kind: Test\nmetadata: {{name: t}}\nspec: {spec}\n")
}

#[test]
fn a_test_of_reach_that_fails_names_the_way_and_its_rules() {
    let failing = reports(&claim("{from: a, unreachable: c, hops: 3}"));
    let failure = failing[0].failure.as_ref().unwrap();
    assert!(
        failure
            .message
            .contains("c should be out of reach of a within 3 hops: a → b : POST /jobs (a.yaml:"),
        "{failure}"
    );
    assert!(
        failure.message.contains("→ c : connect (a.yaml:"),
        "{failure}"
    );
    assert!(
        failure.message.contains("when source.labels.x == 'y'"),
        "{failure}"
    );
    assert!(failure.help.as_ref().unwrap().contains("guardrail"));
    for holds in [
        "{from: a, unreachable: c, hops: 1}",
        "{from: a, unreachable: d}",
        "{from: a, reachable: b}",
        "{from: d, unreachable: a}",
        "{from: c, unreachable: b}",
    ] {
        let found = reports(&claim(holds));
        assert_eq!(found[0].failure, None, "{holds}");
    }
    // A way that hangs on a condition is none to rely on.
    for fails in [
        "{from: a, reachable: c}",
        "{from: a, reachable: d}",
        "{from: b, reachable: a}",
    ] {
        let found = reports(&claim(fails));
        assert!(found[0].failure.is_some(), "{fails}");
        assert_eq!(found[0].expected(), "reachable");
    }
}

#[test]
fn a_failing_test_of_reach_rejects_the_generation() {
    let with = |spec: &str| try_compile(&estate(&format!("{CHAIN}---\n{}", claim(spec))));
    assert!(with("{from: a, unreachable: c, hops: 1}").is_ok());
    let errors = with("{from: a, unreachable: c}").unwrap_err().to_string();
    assert!(errors.contains("out of reach of a: a → b"), "{errors}");
    // A mode does not excuse it, and no date makes it fail.
    let soft = CHAIN.replace(
        "agent: b, receive",
        "agent: b, mode: learn, until: 2026-06-20, receive",
    );
    let spec = claim("{from: b, unreachable: d}");
    assert!(try_compile(&estate(&format!("{soft}---\n{spec}"))).is_ok());
}

#[test]
fn rings_and_soft_policies_are_walked_to_their_end() {
    let ring = CHAIN.replace(
        "{service: c, operations: [{",
        "{agent: a, operations: ['GET /']}, {service: c, operations: [{",
    );
    let ring = ring.replace(
        "metadata: {name: a}\n---",
        "metadata: {name: a}\nspec: {serves: {protocol: http, port: 9}}\n---",
    );
    let snapshot = compile(&ring.replace(
        "agent: a, initiate",
        "agent: a, receive: [{agent: b, operations: ['GET /']}], initiate",
    ));
    let mut web = Web::new(&snapshot, now());
    let from = snapshot.find("b").unwrap();
    let names = |reached: Vec<Reached>| -> Vec<String> {
        reached
            .iter()
            .map(|it| format!("{} {}", it.hops, it.to.name))
            .collect()
    };
    assert_eq!(names(web.spread(from, None)), ["1 a", "1 c"]);
    let soft = compile(&CHAIN.replace(
        "agent: b, receive",
        "agent: b, mode: shadow, until: 2026-06-20, receive",
    ));
    let mut web = Web::new(&soft, now());
    let from = soft.find("a").unwrap();
    assert_eq!(names(web.spread(from, None)), ["1 b", "2 c", "2 d"]);
    let edge = web
        .edge(soft.find("b").unwrap(), soft.find("d").unwrap())
        .unwrap();
    assert_eq!(
        (edge.depends.mode, edge.example.as_deref()),
        (Some("shadow"), Some("send"))
    );
    let later = at("2026-06-21T00:00:00Z");
    let mut web = Web::new(&soft, later);
    assert_eq!(names(web.spread(from, None)), ["1 b", "2 c"]);
}

const SOCKET: &str = "kind: Agent\nmetadata: {name: a}\n---\nkind: Agent\nmetadata: {name: b}\nspec: {serves: {protocol: http, port: 80}}\n---\nkind: Service\nmetadata: {name: c}\nspec: {protocol: tcp, port: 81}\n---\nkind: Policy\nmetadata: {name: a}\nspec: {agent: a, initiate: [{agent: b, operations: [OURS]}]}\n---\nkind: Policy\nmetadata: {name: b}\nspec: {agent: b, receive: [{agent: a, operations: [THEIRS]}], initiate: [{service: c, operations: [connect]}]}\n";

/// What opens WebSockets reaches, and what does not name them does not reach by them.
#[test]
fn a_websocket_is_a_way_where_both_ends_name_it() {
    let wall = "---\nkind: Guardrail\nmetadata: {name: g}\nspec: {owner: o, reason: r, from: ['*'], to: ['*'], ";
    for (ours, theirs, guard, example) in [
        ("WEBSOCKET /x", "WEBSOCKET /**", "", Some("WEBSOCKET /x")),
        ("WEBSOCKET /x", "'* /**'", "", None),
        ("'* /**'", "WEBSOCKET /x", "", None),
        ("GET /x", "WEBSOCKET /x", "", None),
        ("WEBSOCKET /x", "WEBSOCKET /x", "deny: ['* /x']}", None),
        (
            "WEBSOCKET /x",
            "WEBSOCKET /x",
            "deny: ['GET /x']}",
            Some("WEBSOCKET /x"),
        ),
        (
            "WEBSOCKET /x",
            "WEBSOCKET /x",
            "only: ['* /**', connect]}",
            None,
        ),
        (
            "WEBSOCKET /x",
            "WEBSOCKET /x",
            "only: ['WEBSOCKET /*', connect]}",
            Some("WEBSOCKET /x"),
        ),
    ] {
        let mut text = SOCKET.replace("OURS", ours).replace("THEIRS", theirs);
        if !guard.is_empty() {
            text += &format!("{wall}{guard}\n");
        }
        let snapshot = compile(&text);
        let mut web = Web::new(&snapshot, now());
        let [a, b, c] = ["a", "b", "c"].map(|name| snapshot.find(name).unwrap());
        let edge = web.edge(a, b).cloned();
        let told = edge.as_ref().and_then(|it| it.example.as_deref());
        assert_eq!(told, example, "{ours} {theirs} {guard}");
        assert_eq!(edge.is_some(), example.is_some(), "{ours} {theirs} {guard}");
        let hops = web.spread(a, None).iter().map(|it| it.hops).max();
        assert_eq!(hops, example.map(|_| 2), "{ours} {theirs} {guard}");
        assert!(web.edge(b, c).is_some());
        // And a test of reach says the same.
        let claims = format!("{text}---\n{}", claim("{from: a, unreachable: c}"));
        assert_eq!(
            try_compile(&estate(&claims)).is_ok(),
            example.is_none(),
            "{ours} {theirs} {guard}"
        );
    }
}

/// At most so many operations between two are named.
#[test]
fn so_many_operations_are_named_and_no_further_one() {
    for count in [64, 65] {
        let rules: Vec<String> = (0..count).map(|n| format!("GET /p{n}")).collect();
        let rules = rules.join(", ");
        let snapshot = compile(&SOCKET.replace("OURS", &rules).replace("THEIRS", "'* /**'"));
        let mut web = Web::new(&snapshot, now());
        let [a, b] = ["a", "b"].map(|name| snapshot.find(name).unwrap());
        let edge = web.edge(a, b).unwrap();
        assert!(edge.certain && edge.operations.contains(&"GET /p63".to_owned()));
        assert_eq!(edge.operations.len(), 64);
    }
}
