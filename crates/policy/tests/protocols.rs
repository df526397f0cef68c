//! Each protocol has operations of its own, and no rule for one of them speaks for another.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use ringfence_model::resource::ModeKind;
use ringfence_model::{Diagnostics, load};
use ringfence_policy::{Reason, Ruled, Snapshot};

/// An agent `a` that may do `rules` to a service `s` that speaks `protocol`.
fn text(protocol: &str, rules: &str, rest: &str) -> String {
    format!(
        "kind: Service\nmetadata: {{name: s}}\nspec: {{protocol: {protocol}, port: 80}}\n---\n\
         kind: Agent\nmetadata: {{name: a}}\n---\n\
         kind: Policy\nmetadata: {{name: a}}\nspec:\n  agent: a\n  initiate: [{{service: s, operations: {rules}}}]\n{rest}"
    )
}

fn speaks(protocol: &str, rules: &str) -> Snapshot {
    compile(&text(protocol, rules, ""))
}

fn refused(protocol: &str, rules: &str, rest: &str) -> String {
    let full: Vec<String> = text(protocol, rules, rest)
        .split("---\n")
        .map(|document| format!("apiVersion: {}\n{document}", load::API_VERSION))
        .collect();
    let loaded = load::documents(&[("a.yaml", full.join("---\n").as_bytes())]);
    let errors: Diagnostics = match loaded {
        Err(errors) => errors,
        Ok(estate) => try_compile(&estate).expect_err("it is refused"),
    };
    errors.to_string()
}

#[test]
fn calls_are_decided_by_full_name() {
    let snapshot = speaks("grpc", "[shop.v1.Orders/Create, 'shop.v1.Stock/*']");
    for (call, allowed) in [
        ("shop.v1.Orders/Create", true),
        ("shop.v1.Stock/Count", true),
        ("shop.v1.Stock/x", true),
        ("shop.v1.Orders/Delete", false),
        ("shop.v1.Orders/create", false),
        ("shop.v1.orders/Create", false),
        ("shop.v2.Orders/Create", false),
        ("Orders/Create", false),
        ("shop.v1.Stocks/Count", false),
    ] {
        assert_eq!(allows(&snapshot, "a", "s", call), allowed, "{call}");
    }
    let all = speaks("grpc", "['*']");
    assert!(allows(&all, "a", "s", "any.Thing/Goes"));
}

#[test]
fn http2_has_the_operations_of_http() {
    let snapshot = speaks(
        "http2",
        "['GET /a/*', {allow: 'PUT /b/{id}', when: \"path.id == '7'\"}]",
    );
    assert!(allows(&snapshot, "a", "s", "GET /a/b"));
    assert!(allows(&snapshot, "a", "s", "PUT /b/7"));
    assert!(!allows(&snapshot, "a", "s", "PUT /b/8"));
    assert!(!allows(&snapshot, "a", "s", "GET /b"));
}

#[test]
fn tls_is_decided_by_connection_and_operations_in_it_are_an_error() {
    assert!(allows(&speaks("tls", "[connect]"), "a", "s", "connect"));
    for rule in ["GET /", "'* /**'", "'*'", "a.B/C", "send"] {
        let error = refused("tls", &format!("[{rule}]"), "");
        assert!(
            error.contains("tls has one operation: connect"),
            "{rule}: {error}"
        );
    }
    let error = refused("tls", "[connect]", "  tests: [{to: s, allow: GET /}]\n");
    assert!(error.contains("tls has one operation: connect"), "{error}");
    let error = refused(
        "tls",
        "[{allow: connect, when: \"request.path == '/'\"}]",
        "",
    );
    assert!(error.contains("tls has no request"), "{error}");
}

#[test]
fn conditions_on_calls_see_the_request_and_no_body() {
    let rule = |when: &str| format!("[{{allow: a.B/C, when: {when:?}}}]");
    let by_path = speaks(
        "grpc",
        &rule("request.path == '/a.B/C' && request.method == 'POST'"),
    );
    assert!(allows(&by_path, "a", "s", "a.B/C"));
    let by_other = speaks("grpc", &rule("request.path == '/a.B/D'"));
    assert!(!allows(&by_other, "a", "s", "a.B/C"));
    for when in ["body.x == 1", "path.id == '7'"] {
        let error = refused("grpc", &rule(when), "");
        assert!(error.contains("grpc has no"), "{error}");
    }
}

#[test]
fn two_meet_where_some_call_is_agreed_on() {
    let with = |receive: &str| {
        compile(&text("grpc", "['a.B/*', c.D/E]", "").replace(
            "port: 80}",
            &format!("port: 80, receive: [{{agent: a, operations: {receive}}}]}}"),
        ))
    };
    for (receive, reason) in [
        ("['*']", Reason::Allowed),
        ("[a.B/C]", Reason::Allowed),
        ("[a.b/C, c.D/F]", Reason::NothingInCommon),
    ] {
        assert_eq!(meet(&with(receive), "a", "s"), reason, "{receive}");
    }
}

#[test]
fn a_guardrail_speaks_of_calls_only_in_their_own_words() {
    let guard = |kind: &str, operations: &str| {
        let guard = format!(
            "---\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: o, reason: r, from: ['*'], to: ['*'], {kind}: {operations}}}\n"
        );
        compile(&text("grpc", "['*']", &guard))
    };
    assert!(!allows(&guard("deny", "['a.B/*']"), "a", "s", "a.B/C"));
    assert!(allows(&guard("deny", "['a.B/*']"), "a", "s", "a.C/C"));
    assert!(allows(&guard("deny", "['POST /**']"), "a", "s", "a.B/C"));
    // What `only` does not speak of is forbidden, also where it is said of another protocol.
    assert!(!allows(&guard("only", "['POST /**']"), "a", "s", "a.B/C"));
    assert!(allows(
        &guard("only", "['POST /**', 'a.B/*']"),
        "a",
        "s",
        "a.B/C"
    ));
}

#[test]
fn a_denied_call_names_the_nearest_rule() {
    let snapshot = speaks("grpc", "[a.B/C]");
    for (call, differs) in [
        ("a.B/D", "a.B/C: method differs: the rule has C"),
        ("a.E/C", "a.B/C: service differs: the rule has a.B"),
    ] {
        let told = snapshot.explain_text("a", "s", call, &moment(now()));
        assert_eq!(
            (told.ruled, told.mode),
            (Ruled::Deny, ModeKind::Enforce.as_str())
        );
        assert!(told.reason.contains(call), "{}", told.reason);
        assert_eq!(
            told.nearest.map(|(_, words)| words).as_deref(),
            Some(differs)
        );
    }
    let told = snapshot.explain_text("a", "s", "GET /a", &moment(now()));
    assert!(
        told.reason.contains("package.Service/Method"),
        "{}",
        told.reason
    );
}

#[test]
fn a_websocket_is_an_operation_of_its_own() {
    let snapshot = speaks("http", "['* /**', 'WEBSOCKET /feed/*']");
    assert!(allows(&snapshot, "a", "s", "WEBSOCKET /feed/1"));
    assert!(allows(&snapshot, "a", "s", "GET /feed/1"));
    assert!(!allows(&snapshot, "a", "s", "WEBSOCKET /other"));
    let snapshot = speaks("http", "['GET /feed']");
    assert!(!allows(&snapshot, "a", "s", "WEBSOCKET /feed"));
    let snapshot = speaks("http", "['WEBSOCKET /feed']");
    assert!(!allows(&snapshot, "a", "s", "GET /feed"));
    let told = speaks("http", "['* /feed']");
    let told = told.explain_text("a", "s", "WEBSOCKET /feed", &moment(now()));
    let (_, differs) = told.nearest.unwrap();
    assert_eq!(
        differs,
        "* /feed: * does not speak of WEBSOCKET, which has to be named"
    );
    let error = refused("http2", "['WEBSOCKET /feed']", "");
    assert!(
        error.contains("no WebSocket is opened over http2"),
        "{error}"
    );
}

#[test]
fn what_forbids_any_method_forbids_websockets_and_only_does_not_let_them_in() {
    let guard = |kind: &str, operations: &str| {
        let guard = format!(
            "---\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: o, reason: r, from: ['*'], to: [s], {kind}: {operations}}}\n"
        );
        compile(&text("http", "['WEBSOCKET /**', 'GET /**']", &guard))
    };
    let denied = guard("deny", "['* /admin/**']");
    assert!(!allows(&denied, "a", "s", "WEBSOCKET /admin/feed"));
    assert!(allows(&denied, "a", "s", "WEBSOCKET /feed"));
    assert!(allows(
        &guard("deny", "['GET /**']"),
        "a",
        "s",
        "WEBSOCKET /feed"
    ));
    assert!(!allows(
        &guard("only", "['* /**']"),
        "a",
        "s",
        "WEBSOCKET /feed"
    ));
    assert!(allows(
        &guard("only", "['WEBSOCKET /**']"),
        "a",
        "s",
        "WEBSOCKET /feed"
    ));
}
