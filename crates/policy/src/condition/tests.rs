//! What conditions may say, what they see, and that nothing else passes.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, Expr};
use jiff::Timestamp;
use ringfence_model::operation::Pattern;
use ringfence_model::path::Allowances;
use ringfence_model::resource::Labels;
use ringfence_model::{CanonicalPath, Protocol};

use super::*;
use crate::verdict::Operation;

const NAMES: [&str; 1] = ["id"];

fn compiled(text: &str) -> Result<Condition, CompileError> {
    let names: BTreeSet<Box<str>> = NAMES.iter().map(|&name| name.into()).collect();
    let allowed = Allowed {
        protocol: Some(Protocol::Http),
        names: &names,
    };
    compile(text, &allowed)
}

fn wrong(text: &str) -> String {
    compiled(text).expect_err(text).message
}

/// What a request shows.
struct Sent<'a> {
    query: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: Body<'a>,
}

impl Default for Sent<'_> {
    fn default() -> Self {
        Self {
            query: "limit=10&q=a%20b+c&twice=1&twice=2&bad=%zz",
            headers: &[
                ("Host", "Data.internal:8080"),
                ("X-Team", "crm"),
                ("X-Twice", "1"),
                ("x-twice", "1"),
            ],
            body: Body::None,
        }
    }
}

fn ask_with(text: &str, sent: &Sent<'_>) -> Asked {
    let condition = compiled(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    ask_compiled(&condition, sent)
}

fn ask_compiled(condition: &Condition, sent: &Sent<'_>) -> Asked {
    let path = CanonicalPath::new(b"/customers/42", Allowances::default()).unwrap();
    let pattern = Pattern::parse("GET /customers/{id}", Protocol::Http, Allowances::default());
    let Ok(Pattern::Http(pattern)) = pattern else {
        panic!()
    };
    let labels = Labels::from([("tier".to_owned(), "gold".to_owned())]);
    let party = |name, owner| Party {
        name,
        kind: "agent",
        spiffe_id: "spiffe://z/agent/a",
        owner,
        labels: &labels,
    };
    let about = About {
        source: party("clerk", Some("team")),
        destination: party("data", None),
        operation: Operation::Http {
            method: "GET",
            path: &path,
        },
        pattern: Some(&pattern),
    };
    let headers: Vec<(&str, &[u8])> = sent
        .headers
        .iter()
        .map(|&(name, value)| (name, value.as_bytes()))
        .collect();
    let request = Request {
        host: "Data.internal:8080",
        query: Some(sent.query.as_bytes()),
        headers: &headers,
        body: sent.body,
    };
    let now: Timestamp = "2026-06-01T09:30:00Z".parse().unwrap();
    condition.ask(&about, &Moment::at(now, Seen::Request(&request)))
}

fn ask(text: &str) -> Asked {
    ask_with(text, &Sent::default())
}

fn error(text: &str) -> String {
    match ask(text) {
        Asked::Errored(error) => error.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

fn on_body(text: &str, kind: &str, body: &str) -> Asked {
    ask_with(
        text,
        &Sent {
            headers: &[("content-type", kind)],
            body: Body::Bytes(body.as_bytes()),
            ..Sent::default()
        },
    )
}

#[test]
fn sees_the_whole_environment() {
    for text in [
        "request.method == 'GET' && request.path == '/customers/42'",
        "request.host == 'data.internal'",
        "request.query.limit == '10' && request.query['limit'] == '10'",
        "request.query.q == 'a b c'",
        "request.headers['x-team'] == 'crm'",
        "has(request.query.limit) && !has(request.query.other)",
        "'limit' in {'limit': request.query.limit}",
        "path.id == '42' && path['id'] == '42' && int(path.id) < 100",
        "source.name == 'clerk' && source.kind == 'agent' && source.owner == 'team'",
        "source.id == 'spiffe://z/agent/a' && destination.labels.tier == 'gold'",
        "'tier' in source.labels && !has(destination.owner)",
        "now < timestamp('2027-01-01T00:00:00Z') && now.getHours() == 9",
        "now.getHours('Europe/Berlin') == 11",
        "now - timestamp('2026-06-01T09:00:00Z') == duration('30m')",
        "request.path.matches('^/customers/[0-9]+$') && !request.path.matches('[a-z]{20}')",
        "request.path.startsWith('/cust') && request.path.contains('/4') && size(path.id) == 2",
        "['crm', 'ops'].exists(team, team == request.headers['x-team'])",
        "[1, 2, 3].all(n, n > 0) && [1, 2].map(n, n * 2) == [2, 4]",
        "request.query.limit == '10' ? true : false",
    ] {
        assert_eq!(ask(text), Asked::Holds, "{text}");
    }
    for text in [
        "request.method == 'POST'",
        "path.id == '43'",
        "now > timestamp('2027-01-01T00:00:00Z')",
    ] {
        assert_eq!(ask(text), Asked::Fails, "{text}");
    }
}

#[test]
fn what_is_absent_or_ambiguous_is_an_error() {
    assert_eq!(error("request.query.other == '1'"), "other is absent");
    assert_eq!(error("destination.owner == 'x'"), "owner is absent");
    assert_eq!(error("source.labels.none == 'x'"), "none is absent");
    assert_eq!(
        error("request.query.twice == '1'"),
        "parameter twice is sent more than once"
    );
    assert_eq!(
        error("!has(request.query.twice)"),
        "parameter twice is sent more than once"
    );
    assert_eq!(
        error("true || request.query.twice == '1'"),
        "parameter twice is sent more than once"
    );
    assert_eq!(
        error("request.headers['x-twice'] == '1'"),
        "header x-twice is sent more than once"
    );
    assert_eq!(
        error("request.headers.exists(name, name == 'a')"),
        "a header is sent more than once"
    );
    assert_eq!(
        error("size(request.query) > 0"),
        "a parameter is sent more than once"
    );
    assert_eq!(
        error("request.query.bad == ''"),
        "parameter bad is not valid text"
    );
    assert_eq!(error("task.id == 'x'"), "task is absent");
    assert_eq!(error("body.amount > 1"), "body is absent");
    // A broken name could be any name.
    let sent = Sent {
        query: "%zz=1&limit=10",
        ..Sent::default()
    };
    assert!(matches!(
        ask_with("request.query.limit == '10'", &sent),
        Asked::Errored(ConditionError::NotText(_))
    ));
}

#[test]
fn bodies_are_read_in_one_way_or_not_at_all() {
    let json = "application/json";
    assert_eq!(
        on_body("body.amount <= 100", json, r#"{"amount": 99.5}"#),
        Asked::Holds
    );
    assert_eq!(
        on_body(
            "body.amount <= 100",
            "application/problem+json; charset=UTF-8",
            r#"{"amount": 100}"#
        ),
        Asked::Holds
    );
    assert_eq!(
        on_body("body.amount <= 100", json, r#"{"amount": 101}"#),
        Asked::Fails
    );
    assert_eq!(
        on_body(
            "body.items.all(i, i.n < 3)",
            json,
            r#"{"items": [{"n": 1}, {"n": 2}]}"#
        ),
        Asked::Holds
    );
    assert_eq!(on_body("body == null || true", json, "null"), Asked::Holds);
    for (kind, body, why) in [
        (
            json,
            r#"{"amount": 1, "amount": 999}"#,
            "the body has a key twice in one object",
        ),
        (
            json,
            r#"{"x": {"amount": 1, "\u0061mount": 9}, "amount": 1}"#,
            "the body has a key twice in one object",
        ),
        (json, r#"{"amount": 1"#, "the body is not valid JSON"),
        (json, r#"{"amount": 1} {}"#, "the body is not valid JSON"),
        (json, r#"{"amount": 01}"#, "the body is not valid JSON"),
        (json, r#"{"amount": NaN}"#, "the body is not valid JSON"),
        (json, "", "the body is not valid JSON"),
        (
            json,
            r#"{"amount": 18446744073709551616}"#,
            "the body has an integer out of range",
        ),
        (
            json,
            r#"{"amount": 9223372036854775808}"#,
            "the body has an integer out of range",
        ),
        (
            "text/plain",
            r#"{"amount": 1}"#,
            "the body is not declared as application/json",
        ),
        (
            "application/json; charset=utf-16",
            r#"{"amount": 1}"#,
            "the body is not declared as application/json",
        ),
        (
            "application/jsonx",
            r#"{"amount": 1}"#,
            "the body is not declared as application/json",
        ),
    ] {
        let asked = on_body("body.amount <= 100", kind, body);
        let Asked::Errored(error) = asked else {
            panic!("{body}: {asked:?}")
        };
        assert_eq!(error.to_string(), why, "{body}");
    }
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    assert!(matches!(
        on_body("body == 1", json, &deep),
        Asked::Errored(ConditionError::Body("nests too deep"))
    ));
    for (headers, body) in [
        (
            &[("content-type", json), ("content-encoding", "gzip")][..],
            Body::Bytes(b"{}"),
        ),
        (
            &[("content-type", json), ("Content-Type", json)][..],
            Body::Bytes(b"{}"),
        ),
        (&[("content-type", json)][..], Body::TooLong),
        (&[("content-type", json)][..], Body::Unread),
        (&[][..], Body::Bytes(b"{}")),
    ] {
        let sent = Sent {
            headers,
            body,
            ..Sent::default()
        };
        assert!(
            matches!(
                ask_with("has(body.x)", &sent),
                Asked::Errored(ConditionError::Body(_))
            ),
            "{headers:?}"
        );
    }
}

#[test]
fn says_what_is_wrong_with_an_expression() {
    for (text, message) in [
        ("requst.method == 'GET'", "when: there is no requst"),
        ("request.methd == 'GET'", "when: request has no methd"),
        ("request == 1", "when: request is not read as a whole"),
        (
            "path.customer == '1'",
            "when: the pattern has no segment {customer}",
        ),
        ("source.uid == 1", "when: source has no uid"),
        ("now.year == 1", "when: now has no fields"),
        ("args.amount < 1", "when: http has no args"),
        ("fetch('http://x')", "when: there is no function fetch"),
        (
            "request.headers['X-Team'] == 'a'",
            "when: header X-Team is written in capitals",
        ),
        (
            "request.path.matches(request.query.p)",
            "when: matches takes a literal",
        ),
        (
            "request.path.matches('(')",
            "when: the pattern of matches: error: unclosed group",
        ),
        ("Thing{a: 1}", "when: it makes a structure"),
        ("[1].exists(x, y == 1)", "when: there is no y"),
        ("a.?b", "when: unsupported syntax"),
    ] {
        assert!(
            wrong(text).starts_with(message.split(" syntax").next().unwrap()) || text == "a.?b",
            "{text}: {}",
            wrong(text)
        );
    }
    for text in [
        "",
        "1 +",
        "request.method = 'GET'",
        "'",
        "\u{0}",
        "((((((((1))))))))".repeat(40).as_str(),
    ] {
        assert!(wrong(text).starts_with("when: "), "{text}");
    }
    let deep = format!("{}true{}", "(".repeat(200), ")".repeat(200));
    wrong(&deep);
    let long = (0..400)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join("+");
    wrong(&format!("{long} == 1"));
}

#[test]
fn names_what_is_needed() {
    let needs = |text: &str| compiled(text).unwrap().needs().supplied();
    assert_eq!(
        needs("request.query.limit == '1' && request.headers['x-team'] == 'a' && has(body.x)"),
        ["request.query.limit", "request.headers.x-team", "body"]
    );
    assert_eq!(
        needs("request.method == 'GET' && source.name == 'a' && now > now && path.id == ''"),
        [""; 0]
    );
    assert_eq!(
        needs("request.query.exists(k, k == 'a') && task.id == 'b'"),
        ["request.query", "task"]
    );
}

#[test]
fn a_panic_of_the_evaluator_costs_one_request_and_is_known_to_be_contained() {
    let breaks = CallExpr {
        func_name: engine::BREAKS.to_owned(),
        target: None,
        args: Vec::new(),
    };
    let mut condition = compiled("request.query.limit == '10'").unwrap();
    condition.expr.expr = Expr::Call(breaks);
    let broke = Asked::Errored(ConditionError::Evaluation("the evaluator broke down"));
    for _ in 0..2 {
        assert_eq!(ask_compiled(&condition, &Sent::default()), broke);
        // A panic of anything else is not.
        assert!(!panic_is_contained());
        assert_eq!(ask("request.query.limit == '10'"), Asked::Holds);
    }
}

#[test]
fn costs_are_bounded_whatever_is_sent() {
    let json = "application/json";
    let list = |n: usize| format!("[{}]", vec!["1"; n].join(","));
    assert_eq!(
        on_body("body.all(n, n == 1)", json, &list(1_000)),
        Asked::Holds
    );
    for text in [
        "body.all(n, n == 1)",
        "body.all(n, n == 1) || true",
        "true || body.all(n, n == 1) || body.exists(n, n == 2)",
        "body.map(n, n + 1).size() > 0",
        "body.exists_one(n, n == 1) || true",
    ] {
        let asked = on_body(text, json, &list(30_000));
        let absorbed = text.starts_with("true ||");
        assert!(
            matches!(asked, Asked::Errored(ConditionError::Cost))
                || absorbed && asked == Asked::Holds,
            "{text}: {asked:?}"
        );
    }
    let nested = "body.all(a, body.all(b, body.all(c, a + b + c == 3)))";
    assert!(matches!(
        on_body(nested, json, &list(60)),
        Asked::Errored(ConditionError::Cost)
    ));
    // The worst that fits is over in an instant.
    let words = format!(r#"["{}"]"#, vec!["x".repeat(60); 900].join(r#"",""#));
    let began = std::time::Instant::now();
    for text in [
        "body.all(w, w.matches('^(x+x+)+y$'))",
        "body.all(a, size(a + a + a) > 1)",
        "body.exists(a, a in body)",
    ] {
        let _any = on_body(text, json, &words);
    }
    assert!(
        began.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(wrong(&vec!["'a'.matches('b')"; 60].join(" || ")).contains("it costs more than"));
}

/// Each of these doubles what it holds with every few characters more.
#[test]
fn values_do_not_grow_out_of_bounds() {
    for (start, step) in [
        ("[request.query.q]", ".map(a, a + a)"),
        ("[[request.query.q]]", ".map(a, [a, a])"),
        ("[1]", ".map(a, {'x': a, 'y': a})"),
        ("[body]", ".map(a, true ? a + a : a)"),
        ("[body]", ".map(a, [a, dyn(a)][0] + a)"),
        ("[body]", ".filter(a, true).map(a, [a].map(b, b + a)[0])"),
    ] {
        let grown = |times: usize| format!("size({start}{}) == 1", step.repeat(times));
        assert!(compiled(&grown(1)).is_ok(), "{}", grown(1));
        let message = wrong(&grown(12));
        assert!(message.contains("copies of what it reads"), "{message}");
    }
    // What does not multiply may follow itself as often as it likes.
    let plain = format!(
        "size([body]{}) == 1",
        ".map(a, a).filter(a, true)".repeat(8)
    );
    assert!(compiled(&plain).is_ok());
    let sum = vec!["body.n"; 60].join(" + ");
    let grouped = format!("({sum}) == 60");
    assert!(wrong(&grouped).contains("nests deeper") || compiled(&grouped).is_ok());
}

#[test]
fn errors_never_repeat_what_was_sent() {
    const SECRET: &str = "bearer-7f3a";
    let sent = Sent {
        query: "secret=bearer-7f3a&n=bearer-7f3a",
        headers: &[
            ("authorization", SECRET),
            ("content-type", "application/json"),
        ],
        body: Body::Bytes(br#"{"k": "bearer-7f3a", "bearer-7f3a": 1}"#),
    };
    for text in [
        "int(request.query.secret) > 1",
        "request.query.secret > 1",
        "request.headers.authorization + 1 == 2",
        "source.labels[request.headers.authorization] == 'x'",
        "body[request.query.n][body.k] == 1",
        "timestamp(body.k) > now",
        "duration(body.k) > duration('1s')",
        "[1][int(size(body.k))] == 1",
        "body.k && true",
        "body.k",
        "-body.k == 1",
        "body.k.foo == 1",
        "1 in body.k",
    ] {
        let Asked::Errored(error) = ask_with(text, &sent) else {
            panic!("{text}")
        };
        assert!(!error.to_string().contains(SECRET), "{text}: {error}");
    }
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        /// Neither the parser nor the evaluator brings the process down, and what errors does not hold.
        #[test]
        fn nothing_panics(text in "[ -~]{0,80}", query in "[ -~]{0,60}", body in prop::collection::vec(any::<u8>(), 0..80)) {
            if compiled(&text).is_ok() {
                let headers = [("content-type", "application/json")];
                let _any = ask_with(&text, &Sent { query: &query, headers: &headers, body: Body::Bytes(&body) });
            }
            let _any = ask_with("request.query.a == '1' || body.x == 1", &Sent { query: &query, headers: &[("content-type", "application/json")], body: Body::Bytes(&body) });
        }

        /// A body that another parser reads as well has the same value there.
        #[test]
        fn what_is_read_is_what_others_read(amount in any::<i32>(), more in "[a-z]{1,3}") {
            let body = format!(r#"{{"amount": {amount}, "m{more}": "x"}}"#);
            let text = format!("body.amount == {amount} && body.m{more} == 'x'");
            prop_assert_eq!(on_body(&text, "application/json", &body), Asked::Holds);
        }
    }
}

mod readers;
