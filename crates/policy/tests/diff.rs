//! What a comparison tells is what the decision itself says, before and after.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use proptest::prelude::*;
use ringfence_model::operation::{Concrete, Pattern};
use ringfence_model::path::Allowances;
use ringfence_model::resource::With;
use ringfence_model::{CanonicalPath, Protocol};
use ringfence_policy::{
    Change, Diff, Direction, Effect, Moment, Operation, Snapshot, facts, read_with,
};

/// Days on which something of the estates below has ended, and one before that.
const DAYS: [&str; 4] = [
    "2026-06-01T00:00:00Z",
    "2026-06-15T00:00:00Z",
    "2026-07-15T00:00:00Z",
    "2027-06-01T00:00:00Z",
];

fn http(text: &str) -> Pattern {
    Pattern::parse(text, Protocol::Http, Allowances::default()).unwrap()
}

fn changes(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    Diff::new(old, new, now()).changes().flatten().collect()
}

fn of(old: &str, new: &str) -> Vec<Change> {
    changes(&compile(old), &compile(new))
}

/// `opened a → s : GET /x except GET /x/y`
fn rows(changes: &[Change]) -> Vec<String> {
    let row = |it: &Change| {
        let mut row = format!(
            "{} {} → {} : {}",
            it.effect.as_str(),
            it.from.name,
            it.to.name,
            it.operation
        );
        if !it.except.is_empty() {
            row += &format!(" except {}", it.except.join(", "));
        }
        if !it.depends.when.is_empty() {
            row += &format!(" when {}", it.depends.when.join(" and "));
        }
        if let Some(until) = it.depends.until {
            row += &format!(" until {until}");
        }
        if let Some(mode) = it.depends.mode {
            row += &format!(" by {mode}");
        }
        row
    };
    changes.iter().map(row).collect()
}

/// One rule: pattern, condition, end.
type Rule = (String, Option<&'static str>, bool);

#[derive(Clone, Debug)]
struct Side {
    initiate: Vec<Rule>,
    receive: Option<Vec<Rule>>,
    /// `deny` or `only`, operations, condition.
    walls: Vec<(bool, Vec<String>, bool)>,
    learn: bool,
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![2 => Just("a"), 1 => Just("b"), 2 => Just("*")];
    let tail = prop_oneof![3 => Just(""), 1 => Just("/"), 2 => Just("/**")];
    let method =
        prop_oneof![2 => Just("GET"), 1 => Just("PUT"), 1 => Just("WEBSOCKET"), 1 => Just("*")];
    (method, prop::collection::vec(segment, 0..3), tail).prop_map(|(method, segments, tail)| {
        let path: String = segments.iter().map(|it| format!("/{it}")).collect();
        match (path.as_str(), tail) {
            ("", "") => format!("{method} /"),
            _ => format!("{method} {path}{tail}"),
        }
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let when = prop_oneof![4 => Just(None), 1 => Just(Some("p")), 1 => Just(Some("q"))];
    (pattern(), when, prop::bool::weighted(0.2))
}

fn side() -> impl Strategy<Value = Side> {
    let rules = || prop::collection::vec(rule(), 1..4);
    let wall = (
        any::<bool>(),
        prop::collection::vec(pattern(), 1..3),
        prop::bool::weighted(0.4),
    );
    (
        rules(),
        prop::option::of(rules()),
        prop::collection::vec(wall, 0..3),
        prop::bool::weighted(0.15),
    )
        .prop_map(|(initiate, receive, walls, learn)| Side {
            initiate,
            receive,
            walls,
            learn,
        })
}

fn list(rules: &[Rule]) -> String {
    let one = |(text, when, ends): &Rule| {
        let mut rule = format!("{{allow: '{text}'");
        if let Some(name) = when {
            rule += &format!(", when: \"request.query.{name} == '1'\"");
        }
        if *ends {
            rule += ", until: 2026-06-10";
        }
        rule + "}"
    };
    let rules: Vec<String> = rules.iter().map(one).collect();
    rules.join(", ")
}

fn text(side: &Side) -> String {
    let receive = side.receive.as_ref().map_or_else(String::new, |rules| {
        format!(", receive: [{{agent: a, operations: [{}]}}]", list(rules))
    });
    let mode = match side.learn {
        true => "mode: learn, until: 2026-06-20, ",
        false => "",
    };
    let mut text = format!(
        "kind: Service\nmetadata: {{name: s}}\nspec: {{protocol: http, port: 80{receive}}}\n---\nkind: Agent\nmetadata: {{name: a}}\n---\nkind: Policy\nmetadata: {{name: p}}\nspec: {{agent: a, {mode}initiate: [{{service: s, operations: [{}]}}]}}\n",
        list(&side.initiate)
    );
    for (index, (deny, operations, asks)) in side.walls.iter().enumerate() {
        let key = if *deny { "deny" } else { "only" };
        let when = match asks {
            true => ", when: \"request.query.r == '1'\"",
            false => "",
        };
        let operations: Vec<String> = operations.iter().map(|it| format!("'{it}'")).collect();
        text += &format!(
            "---\nkind: Guardrail\nmetadata: {{name: g{index}}}\nspec: {{owner: x, reason: y, from: ['*'], to: ['*'], {key}: [{}]{when}}}\n",
            operations.join(", ")
        );
    }
    text
}

/// Each of three conditions true or false, by themselves.
fn contexts() -> Vec<With> {
    let bit = |n: u8, place: u8| if n >> place & 1 == 1 { "1" } else { "0" };
    let context = |n| {
        format!(
            r#"{{"request": {{"query": {{"p": "{}", "q": "{}", "r": "{}"}}}}}}"#,
            bit(n, 0),
            bit(n, 1),
            bit(n, 2)
        )
    };
    (0..8).map(|n| read_with(&context(n)).unwrap()).collect()
}

/// Whether the request passes, on each day from now on, in each context.
fn passes(snapshot: &Snapshot, request: &str, contexts: &[With]) -> Vec<bool> {
    let (from, to) = (snapshot.find("a").unwrap(), snapshot.find("s").unwrap());
    let (method, path) = request.split_once(' ').unwrap();
    let path = CanonicalPath::new(path.as_bytes(), Allowances::default()).unwrap();
    let operation = Operation::Http {
        method,
        path: &path,
    };
    let mut passes = Vec::new();
    for day in DAYS {
        for with in contexts {
            let moment = Moment::supplied(Some(with), at(day)).unwrap();
            passes.push(snapshot.decide(from, to, operation, &moment).is_allowed());
        }
    }
    passes
}

fn holds(change: &Change, request: &Pattern) -> bool {
    http(&change.operation).overlaps(request)
        && !change.except.iter().any(|it| http(it).overlaps(request))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Request by request, in each context, on each day.
    #[test]
    fn rows_are_what_the_decision_says_before_and_after((old, new) in (side(), side())) {
        let (old, new) = (compile(&text(&old)), compile(&text(&new)));
        let changes = changes(&old, &new);
        prop_assert!(changes.iter().all(|it| it.certain), "{:#?}", changes);
        let contexts = contexts();
        for request in universe() {
            let exact = http(&request);
            let (before, after) = (passes(&old, &request, &contexts), passes(&new, &request, &contexts));
            let told = |effects: &[Effect]| {
                changes.iter().any(|it| effects.contains(&it.effect) && holds(it, &exact))
            };
            let (ever_before, ever_after) = (before.contains(&true), after.contains(&true));
            prop_assert_eq!(told(&[Effect::Opened]), !ever_before && ever_after, "opened {} {:?}", request, rows(&changes));
            prop_assert_eq!(told(&[Effect::Closed]), ever_before && !ever_after, "closed {} {:?}", request, rows(&changes));
            let gained = before.iter().zip(&after).any(|(before, after)| !before && *after);
            let lost = before.iter().zip(&after).any(|(before, after)| *before && !after);
            prop_assert_eq!(told(&[Effect::Opened, Effect::Loosened]), gained, "gained {} {:?}", request, rows(&changes));
            prop_assert_eq!(told(&[Effect::Closed, Effect::Tightened]), lost, "lost {} {:?}", request, rows(&changes));
        }
        for change in &changes {
            let example = change.example.as_ref().unwrap();
            prop_assert!(holds(change, &http(example)), "{:?}", change);
            let (before, after) = (passes(&old, example, &contexts), passes(&new, example, &contexts));
            let flips = match change.effect {
                Effect::Opened => !before.contains(&true) && after.contains(&true),
                Effect::Closed => before.contains(&true) && !after.contains(&true),
                Effect::Loosened => before.iter().zip(&after).any(|(b, a)| !b && *a),
                Effect::Tightened => before.iter().zip(&after).any(|(b, a)| *b && !a),
                Effect::Unknown => false,
            };
            prop_assert!(flips, "{:?}", change);
        }
    }

    /// However it is written.
    #[test]
    fn a_side_does_not_differ_from_itself_and_two_differ_both_ways(
        (one, other) in (side(), side())
    ) {
        let mut turned = one.clone();
        turned.initiate.reverse();
        turned.initiate.extend(one.initiate.clone());
        let snapshots = [&one, &turned, &other].map(|it| compile(&text(it)));
        prop_assert_eq!(rows(&changes(&snapshots[0], &snapshots[1])), Vec::<String>::new());
        let opens = |a, b| changes(a, b).iter().filter(|it| it.effect == Effect::Opened).count();
        let closes = |a, b| changes(a, b).iter().filter(|it| it.effect == Effect::Closed).count();
        prop_assert_eq!(opens(&snapshots[0], &snapshots[2]), closes(&snapshots[2], &snapshots[0]));
    }
}

const ESTATE: &str = "kind: Service\nmetadata: {name: s}\nspec: {protocol: http, port: 80}\n---\nkind: Service\nmetadata: {name: t}\nspec: {protocol: tcp, port: 5432, receive: []}\n---\nkind: Agent\nmetadata: {name: a}\n---\nkind: Agent\nmetadata: {name: b}\nspec: {serves: {protocol: udp, port: 9}}\n---\nkind: Policy\nmetadata: {name: p}\nspec: {agent: a, initiate: [{service: s, operations: [GET /a/*]}]}\n";

fn with(from: &str, to: &str) -> String {
    let text = ESTATE.replace(from, to);
    assert_ne!(text, ESTATE, "{from}");
    text
}

#[test]
fn a_wider_pattern_is_told_by_what_it_adds() {
    assert_eq!(
        rows(&of(ESTATE, &with("GET /a/*", "GET /a/**"))),
        ["opened a → s : GET /a/** except GET /a/*"]
    );
    assert_eq!(
        rows(&of(&with("GET /a/*", "GET /a/**"), ESTATE)),
        ["closed a → s : GET /a/** except GET /a/*"]
    );
    assert_eq!(
        rows(&of(ESTATE, &with("GET /a/*", "'GET /a/{id}', GET /a/x"))),
        Vec::<String>::new()
    );
}

#[test]
fn conditions_and_dates_are_named() {
    let when = with("GET /a/*", "{allow: GET /a/*, when: task == 'x'}");
    assert_eq!(rows(&of(ESTATE, &when)), ["tightened a → s : GET /a/*"]);
    let back = of(&when, ESTATE);
    assert_eq!(rows(&back), ["loosened a → s : GET /a/*"]);
    assert_eq!(back[0].other[0].when, ["task == 'x'"]);
    let other = with("GET /a/*", "{allow: GET /a/*, when: task == 'y'}");
    assert_eq!(
        rows(&of(&when, &other)),
        [
            "loosened a → s : GET /a/* when task == 'y'",
            "tightened a → s : GET /a/* when task == 'x'"
        ]
    );
    let until = with("GET /a/*", "{allow: GET /a/*, until: 2026-12-31}");
    assert_eq!(rows(&of(ESTATE, &until)), ["tightened a → s : GET /a/*"]);
    let later = with("GET /a/*", "{allow: GET /a/*, until: 2027-12-31}");
    assert_eq!(
        rows(&of(&until, &later)),
        ["loosened a → s : GET /a/* until 2027-12-31"]
    );
    // One that had ended is as if it were not there.
    let ended = with("GET /a/*", "{allow: GET /a/*, until: 2026-05-31}");
    assert_eq!(rows(&of(&ended, ESTATE)), ["opened a → s : GET /a/*"]);
}

/// What only resources say is asked, not told.
#[test]
fn a_condition_on_labels_alone_is_decided() {
    let labelled = |value: &str| {
        with(
            "GET /a/*",
            "{allow: GET /a/*, when: destination.labels.tier == 'open'}",
        )
        .replace("name: s}", &format!("name: s, labels: {{tier: {value}}}}}"))
    };
    assert_eq!(
        rows(&of(&labelled("shut"), &labelled("open"))),
        ["opened a → s : GET /a/*"]
    );
    let found = facts(&estate(&labelled("shut")), &estate(&labelled("open")));
    assert_eq!(
        (found[0].what, found[0].direction),
        ("labels", Direction::Note)
    );
}

#[test]
fn modes_receivers_and_guardrails_change_what_is_possible() {
    let learn = with("agent: a,", "agent: a, mode: learn, until: 2026-06-20,");
    assert_eq!(
        rows(&of(ESTATE, &learn)),
        [
            "opened a → s : * /** except GET /a/* until 2026-06-20 by learn",
            "opened a → s : WEBSOCKET /** until 2026-06-20 by learn",
        ]
    );
    let closed = with("port: 80}", "port: 80, receive: []}");
    assert_eq!(rows(&of(ESTATE, &closed)), ["closed a → s : GET /a/*"]);
    let direction = |old: &str, new: &str| {
        let facts = facts(&estate(old), &estate(new));
        (facts.len(), facts[0].what, facts[0].direction)
    };
    assert_eq!(
        direction(ESTATE, &closed),
        (1, "receive", Direction::Narrows)
    );
    assert_eq!(
        direction(&closed, ESTATE),
        (1, "receive", Direction::Widens)
    );
    assert_eq!(direction(ESTATE, &learn), (1, "mode", Direction::Widens));
    let wall = format!(
        "{ESTATE}---\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: x, reason: y, from: ['*'], to: [s], deny: ['GET /a/b']}}\n"
    );
    assert_eq!(rows(&of(ESTATE, &wall)), ["closed a → s : GET /a/b"]);
    assert_eq!(direction(&wall, ESTATE), (1, "resource", Direction::Widens));
    let asks = wall.replace("deny:", "when: task == 'z', deny:");
    assert_eq!(rows(&of(ESTATE, &asks)), ["tightened a → s : GET /a/b"]);
    // Under another name it says the same.
    let renamed = asks.replace("name: g}", "name: h}");
    assert_eq!(rows(&of(&asks, &renamed)), Vec::<String>::new());
}

/// A guardrail is about all spellings that a server reads alike.
#[test]
fn spellings_are_one_to_a_guardrail_and_two_to_a_rule() {
    let wall = |key: &str, operation: &str, rule: &str| {
        format!(
            "{}---\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: x, reason: y, from: ['*'], to: [s], {key}: ['{operation}']}}\n",
            with("GET /a/*", rule)
        )
    };
    for key in ["only", "deny"] {
        let (raw, escaped) = (
            wall(key, "GET /x:purge", "GET /*"),
            wall(key, "GET /x%3Apurge", "GET /*"),
        );
        assert_eq!(rows(&of(&raw, &escaped)), Vec::<String>::new(), "{key}");
    }
    let walled = wall("deny", "GET /x:purge", "GET /x%3Apurge");
    assert_eq!(
        rows(&of(&walled, &with("GET /a/*", "GET /x%3Apurge"))),
        ["opened a → s : GET /x%3Apurge"]
    );
}

#[test]
fn workloads_come_and_go_and_speak_other_protocols() {
    let more = format!(
        "{}---\nkind: Policy\nmetadata: {{name: q}}\nspec: {{agent: c, initiate: [{{agent: b, operations: [send]}}, {{service: t, operations: [connect]}}]}}\n---\nkind: Agent\nmetadata: {{name: c}}\n---\nkind: Policy\nmetadata: {{name: r}}\nspec: {{agent: b, receive: [{{agent: c, operations: [send]}}]}}\n",
        with(
            "receive: []",
            "receive: [{agent: c, operations: [connect]}]"
        )
    );
    assert_eq!(
        rows(&of(ESTATE, &more)),
        ["opened c → b : send", "opened c → t : connect"]
    );
    assert_eq!(
        rows(&of(&more, ESTATE)),
        ["closed c → b : send", "closed c → t : connect"]
    );
    let found = facts(&estate(ESTATE), &estate(&more));
    let about: Vec<&str> = found.iter().map(|it| it.about.as_str()).collect();
    assert_eq!(about, ["agent c", "policy q", "policy r"]);
    let tcp = ESTATE
        .replace("protocol: http", "protocol: tcp")
        .replace("GET /a/*", "connect");
    assert_eq!(
        rows(&of(ESTATE, &tcp)),
        ["opened a → s : connect", "closed a → s : GET /a/*"]
    );
    let empty = "kind: Agent\nmetadata: {name: a}\n";
    assert_eq!(rows(&of(empty, empty)), Vec::<String>::new());
    assert_eq!(rows(&of(empty, ESTATE)), ["opened a → s : GET /a/*"]);
}

/// Where a receiver takes `//`, such paths are operations like others.
#[test]
fn empty_segments_count_where_they_are_accepted() {
    let takes = |rules: &str| {
        with("port: 80", "port: 80, paths: {accept: [empty-segment]}").replace("GET /a/*", rules)
    };
    let (wide, split) = (takes("GET /**"), takes("GET /, GET /*/**"));
    let found = of(&split, &wide);
    assert_eq!(
        rows(&found),
        ["opened a → s : GET /** except GET /, GET /*/**"]
    );
    let example = found[0].example.as_deref().unwrap();
    let accepts = Allowances {
        empty_segment: true,
        ..Allowances::default()
    };
    assert!(example.contains("//"), "{example}");
    assert!(Concrete::parse(example, Protocol::Http, accepts).is_ok());
}

#[test]
fn each_protocol_is_compared_in_its_own_operations() {
    let speaks = |protocol: &str, rules: &str| {
        ESTATE
            .replace("protocol: http", &format!("protocol: {protocol}"))
            .replace("GET /a/*", rules)
    };
    let example = |changes: &[Change]| changes[0].example.clone().unwrap();
    let calls = of(&speaks("grpc", "shop.v1.Orders/*"), &speaks("grpc", "'*'"));
    assert_eq!(rows(&calls), ["opened a → s : * except shop.v1.Orders/*"]);
    assert_eq!(example(&calls), "x/x");
    let one = of(&speaks("grpc", "a.C/Do"), &speaks("grpc", "a.C/*"));
    assert_eq!(rows(&one), ["opened a → s : a.C/* except a.C/Do"]);
    let h2 = of(&speaks("http2", "GET /a"), &speaks("http2", "'* /a'"));
    assert_eq!(rows(&h2), ["opened a → s : * /a except GET /a"]);
    let tls = of(&speaks("grpc", "a.C/Do"), &speaks("tls", "connect"));
    assert_eq!(
        rows(&tls),
        ["opened a → s : connect", "closed a → s : a.C/Do"]
    );
    assert!(
        calls
            .iter()
            .chain(&one)
            .chain(&h2)
            .chain(&tls)
            .all(|it| it.certain)
    );
}

#[test]
fn a_difference_without_end_is_told_as_one_that_may_be() {
    // Each rule takes a bite that overlaps all others in another way.
    let bites: Vec<String> = (0..60)
        .map(|n| {
            format!(
                "GET /{}s{n}/{}t",
                "*/".repeat(n % 8),
                "*/".repeat(n * 5 % 7)
            )
        })
        .collect();
    let old = with("GET /a/*", &bites.join(", "));
    let began = std::time::Instant::now();
    let found = of(&old, &with("GET /a/*", "GET /**"));
    assert!(began.elapsed() < std::time::Duration::from_secs(60));
    assert!(!found.is_empty());
    for change in found {
        assert!(change.effect.widens(), "{change:?}");
        assert!(change.certain || change.example.is_none());
    }
}

/// 33 patterns of one side, each with a part in common with each of the other's 33.
#[test]
fn beyond_the_bound_of_sets_it_is_said_that_nothing_is_known() {
    let (ours, theirs): (Vec<String>, Vec<String>) = (0..33)
        .map(|n| (format!("GET /a{n}/*"), format!("'* /*/b{n}'")))
        .unzip();
    let text = |ours: &[String]| {
        let receive = format!(
            "port: 80, receive: [{{agent: a, operations: [{}]}}]}}",
            theirs.join(", ")
        );
        with("port: 80}", &receive).replace("GET /a/*", &ours.join(", "))
    };
    let (old, new) = (compile(&text(&ours)), compile(&text(&ours[..32])));
    let unknown = |it: &Change| it.effect == Effect::Unknown;
    for (old, new) in [(&old, &new), (&new, &old)] {
        let found = changes(old, new);
        assert_eq!(found.iter().filter(|it| unknown(it)).count(), 1);
        assert!(
            found
                .iter()
                .filter(|it| unknown(it))
                .all(|it| !it.certain && it.effect.widens())
        );
    }
    assert!(!changes(&new, &new).iter().any(unknown));
}

/// To open a WebSocket is told by its own name, in both directions, and `*` says nothing of it.
#[test]
fn websockets_are_operations_of_their_own() {
    let any = with("GET /a/*", "'* /**'");
    let both = with("GET /a/*", "'* /**', 'WEBSOCKET /a/*'");
    let found = of(&any, &both);
    assert_eq!(rows(&found), ["opened a → s : WEBSOCKET /a/*"]);
    assert_eq!(found[0].example.as_deref(), Some("WEBSOCKET /a/x"));
    assert!(found[0].certain);
    assert_eq!(rows(&of(&both, &any)), ["closed a → s : WEBSOCKET /a/*"]);
    let instead = with("GET /a/*", "WEBSOCKET /a/*");
    assert_eq!(
        rows(&of(ESTATE, &instead)),
        ["opened a → s : WEBSOCKET /a/*", "closed a → s : GET /a/*"]
    );
    let wall = |text: &str| {
        format!(
            "{both}---\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: x, reason: y, from: ['*'], to: [s], {text}}}\n"
        )
    };
    for (text, told) in [
        (
            "deny: ['* /a/b']",
            &["closed a → s : * /a/b", "closed a → s : WEBSOCKET /a/b"][..],
        ),
        ("deny: ['GET /a/b']", &["closed a → s : GET /a/b"]),
        (
            "deny: ['WEBSOCKET /**']",
            &["closed a → s : WEBSOCKET /a/*"],
        ),
        // What it does not list is forbidden.
        ("only: ['* /**']", &["closed a → s : WEBSOCKET /a/*"]),
        ("only: ['WEBSOCKET /**']", &["closed a → s : * /**"]),
    ] {
        assert_eq!(rows(&of(&both, &wall(text))), told, "{text}");
    }
}

#[test]
fn a_difference_in_so_many_pieces_is_told_and_in_one_more_may_be_wider() {
    for (count, whole) in [(1_024, true), (1_025, false)] {
        let listed: Vec<String> = (0..count).map(|n| format!("'GET /p{n}'")).collect();
        let wide = with("GET /a/*", "GET /**");
        let walled = format!(
            "{wide}---\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: x, reason: y, from: ['*'], to: [s], deny: [{}]}}\n",
            listed.join(", ")
        );
        let found = of(&walled, &wide);
        let count_of = |effect| found.iter().filter(|it| it.effect == effect).count();
        assert_eq!(count_of(Effect::Opened), 1_024);
        assert_eq!(count_of(Effect::Unknown), usize::from(!whole));
        assert_eq!(found.len(), 1_024 + usize::from(!whole));
    }
}

/// Each segment has two spellings.
#[test]
fn so_many_spellings_are_told_apart_and_with_more_it_may_be_wider() {
    for (segments, told) in [(6, true), (7, false)] {
        let path =
            |colon: &str| -> String { (0..segments).map(|n| format!("/x{colon}{n}")).collect() };
        let rule = format!("'GET {}', 'GET /**'", path("%3A"));
        let open = with("GET /a/*", &rule);
        let walled = format!(
            "{open}---\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: x, reason: y, from: ['*'], to: [s], deny: ['GET {}']}}\n",
            path(":")
        );
        let found = of(&walled, &open);
        let unknown = found.iter().any(|it| it.effect == Effect::Unknown);
        assert_eq!(unknown, !told, "{:?}", rows(&found));
        let opened = found.iter().filter(|it| it.effect == Effect::Opened);
        assert_eq!(opened.count(), if told { 64 } else { 0 });
    }
}

#[test]
fn so_many_pairs_of_soft_policies_are_looked_at_and_those_beyond_are_counted() {
    let soft = |agents: usize, services: usize| {
        let mut text = vec!["kind: Agent\nmetadata: {name: none}\n".to_owned()];
        text.extend((0..services).map(|n| {
            format!("kind: Service\nmetadata: {{name: s{n}}}\nspec: {{protocol: tcp, port: 80}}\n")
        }));
        for n in 0..agents {
            text.push(format!("kind: Agent\nmetadata: {{name: a{n}}}\n"));
            text.push(format!("kind: Policy\nmetadata: {{name: p{n}}}\nspec: {{agent: a{n}, mode: learn, until: 2026-06-20, initiate: []}}\n"));
        }
        compile(&text.join("---\n"))
    };
    let (none, one, all) = (soft(0, 0), soft(1, 1), soft(1_000, 1_000));
    let diff = Diff::new(&none, &all, now());
    assert_eq!((diff.pairs(), diff.left_out()), (1_000_000, 0));
    // One of the old side, which the new one has too, leaves room for one less of those.
    let diff = Diff::new(&one, &all, now());
    assert_eq!((diff.pairs(), diff.left_out()), (999_999, 1));
}
