//! Decisions that depend on more than the operation: conditions, guardrails, modes, and what ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{at, compile, estate, meet, moment, now, try_compile};
use jiff::Timestamp;
use ringfence_model::operation::Concrete;
use ringfence_model::resource::With;
use ringfence_policy::{
    Answer, Body, Explanation, Moment, Operation, Reason, Recheck, Request, Ruled, Seen, Snapshot,
    Verdict,
};

const BASE: &str = r#"kind: Service
metadata: { name: tools, labels: { tier: inner } }
spec: { protocol: http, port: 80, owner: ops }
---
kind: Service
metadata: { name: data }
spec:
  protocol: http
  port: 80
  receive:
    - agent: clerk
      operations: [{ allow: "GET /rows/{id}", when: "path.id != '13'" }, "POST /rows"]
---
kind: Service
metadata: { name: db }
spec: { protocol: tcp, port: 5432 }
---
kind: Agent
metadata: { name: clerk, labels: { team: crm } }
spec: {}
---
kind: Agent
metadata: { name: peer }
spec: { serves: { protocol: http, port: 90 } }
---
"#;

fn clerk(spec: &str) -> Snapshot {
    compile(&with_clerk(spec))
}

fn with_clerk(spec: &str) -> String {
    format!("{BASE}kind: Policy\nmetadata: {{ name: clerk }}\nspec:\n  agent: clerk\n{spec}")
}

fn judge(snapshot: &Snapshot, to: &str, op: &str, moment: &Moment<'_>) -> Verdict {
    let (from, to) = (snapshot.find("clerk").unwrap(), snapshot.find(to).unwrap());
    let callee = snapshot.workload(to);
    let concrete = Concrete::parse(op, callee.serves.unwrap().0, callee.path_allowances).unwrap();
    snapshot.decide(from, to, Operation::from(&concrete), moment)
}

fn sent(snapshot: &Snapshot, to: &str, op: &str, query: &str) -> Verdict {
    let request = Request {
        host: "tools",
        query: Some(query.as_bytes()),
        headers: &[],
        body: Body::None,
    };
    judge(
        snapshot,
        to,
        op,
        &Moment::at(now(), Seen::Request(&request)),
    )
}

fn json(text: &str) -> With {
    serde_json::from_str(text).unwrap()
}

fn explain(snapshot: &Snapshot, to: &str, op: &str, with: Option<&str>) -> Explanation {
    let with = with.map(json);
    let moment = Moment::supplied(with.as_ref(), now()).unwrap();
    snapshot.explain_text("clerk", to, op, &moment)
}

#[test]
fn a_condition_decides_where_no_plain_rule_does() {
    let bank = clerk(
        r#"  initiate:
    - service: tools
      operations:
        - { allow: "POST /refund", when: "int(request.query.amount) <= 100" }
        - { allow: "POST /refund", when: "request.query.team == 'vip'" }
        - { allow: "GET /**", when: "request.query.never == 'true'" }
        - GET /free
"#,
    );
    for (query, ruled, reason) in [
        ("amount=100", Ruled::Allow, Reason::Allowed),
        ("amount=101&team=vip", Ruled::Allow, Reason::Allowed),
        ("amount=101&team=x", Ruled::Deny, Reason::ConditionFalse),
        // One errors, the other is true: allowed. None is true: the error is the reason.
        ("team=vip", Ruled::Allow, Reason::Allowed),
        ("amount=x&team=x", Ruled::Deny, Reason::ConditionErrored),
        ("", Ruled::Deny, Reason::ConditionErrored),
        (
            "amount=1&amount=1&team=a",
            Ruled::Deny,
            Reason::ConditionErrored,
        ),
    ] {
        let verdict = sent(&bank, "tools", "POST /refund", query);
        assert_eq!(
            (verdict.ruled(), verdict.reason()),
            (ruled, reason),
            "{query}"
        );
    }
    // The pattern comes first: nothing is asked of what does not match.
    assert_eq!(
        sent(&bank, "tools", "PUT /refund", "").reason(),
        Reason::OperationNotInitiated
    );
    assert_eq!(
        sent(&bank, "tools", "GET /free", "").reason(),
        Reason::Allowed
    );
    // Without a request there is nothing to see.
    let verdict = judge(
        &bank,
        "tools",
        "POST /refund",
        &Moment::at(now(), Seen::Connection),
    );
    assert_eq!(verdict.reason(), Reason::ConditionErrored);
    assert_eq!(meet(&bank, "clerk", "tools"), Reason::Allowed);
}

#[test]
fn both_ends_have_conditions() {
    let bank = clerk(
        "  initiate: [{ service: data, operations: [{ allow: 'GET /rows/*', when: \"source.labels.team == 'crm'\" }] }]",
    );
    assert!(sent(&bank, "data", "GET /rows/12", "").is_allowed());
    let denied = sent(&bank, "data", "GET /rows/13", "");
    assert_eq!(denied.reason(), Reason::ConditionFalse);
    let to = bank.find("data").unwrap();
    assert_eq!(bank.rule(&denied, to).unwrap().to_string(), "a.yaml:14");
}

#[test]
fn explain_says_what_a_condition_needs_and_takes_it() {
    let bank = clerk(
        "  initiate: [{ service: tools, operations: [{ allow: 'POST /refund', when: \"body.amount <= 100 && request.headers['x-team'] == 'crm'\" }] }]",
    );
    let op = "POST /refund";
    let unknown = explain(&bank, "tools", op, None);
    assert!(unknown.conditional && !unknown.allowed);
    assert_eq!(unknown.needs, ["request.headers.x-team", "body"]);
    let answer = serde_json::to_value(Answer::from(&unknown)).unwrap();
    assert_eq!(answer["outcome"], "deny");
    assert_eq!(answer["conditional"], true);
    assert_eq!(answer["needs"][1], "body");
    let with = |amount: u32| {
        format!(
            r#"{{"request": {{"headers": {{"x-team": "crm"}}}}, "body": {{"amount": {amount}}}}}"#
        )
    };
    assert!(explain(&bank, "tools", op, Some(&with(100))).allowed);
    let too_much = explain(&bank, "tools", op, Some(&with(101)));
    assert!(!too_much.allowed && !too_much.conditional);
    assert!(too_much.reason.contains("is false"), "{}", too_much.reason);
    let half = explain(&bank, "tools", op, Some(r#"{"body": {"amount": 1}}"#));
    assert!(half.conditional);
    let absent = explain(
        &bank,
        "tools",
        op,
        Some(r#"{"request": {"headers": {}}, "body": {"amount": 1}}"#),
    );
    assert!(
        !absent.conditional && absent.reason.contains("x-team is absent"),
        "{}",
        absent.reason
    );
    let twice = explain(
        &bank,
        "tools",
        op,
        Some(r#"{"request": {"headers": {"x-team": ["crm", "crm"]}}, "body": {"amount": 1}}"#),
    );
    assert!(
        twice.reason.contains("sent more than once"),
        "{}",
        twice.reason
    );
    for (with, wrong) in [
        (r#"{"requst": {}}"#, "with has no field \"requst\""),
        (
            r#"{"request": {"method": "GET"}}"#,
            "with.request.method is given by the operation already",
        ),
        (
            r#"{"request": {"header": {}}}"#,
            "with.request has no field \"header\"",
        ),
        (
            r#"{"request": {"headers": []}}"#,
            "with.request.headers is not a mapping",
        ),
        (
            r#"{"request": {"headers": {"X-Team": "a"}}}"#,
            "header X-Team is written in capitals",
        ),
        (r#"{"now": "soon"}"#, "with.now is not a time"),
    ] {
        let error = Moment::supplied(Some(&json(with)), now()).unwrap_err();
        assert_eq!(error.message, wrong);
        assert!(!error.help.is_empty());
    }
}

#[test]
fn tests_give_a_context() {
    let policy = |tests: &str| {
        format!(
            "  initiate: [{{ service: tools, operations: [{{ allow: 'POST /refund', when: 'body.amount <= 100' }}] }}]\n  tests:\n{tests}"
        )
    };
    let message = |spec: &str| {
        let errors = try_compile(&estate(&with_clerk(spec))).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors[0].message.clone()
    };
    clerk(&policy(
        "    - { to: tools, allow: POST /refund, with: { body: { amount: 5 } } }\n    - { to: tools, deny: POST /refund, with: { body: { amount: 500 } } }",
    ));
    assert!(
        message(&policy(
            "    - { to: tools, deny: POST /refund, with: { body: { amount: 5 } } }"
        ))
        .contains("should be deny but is allow")
    );
    // A test that cannot be answered does not count as held, whichever way.
    assert!(
        message(&policy("    - { to: tools, deny: POST /refund }")).contains("does not say enough")
    );
    assert!(
        message(&policy(
            "    - { to: tools, allow: POST /refund, with: { bdy: 1 } }"
        ))
        .contains("with has no field")
    );
    let test = "\n---\nkind: Test\nmetadata: { name: t }\nspec: { from: clerk, to: tools, allow: POST /refund, with: { body: { amount: 101 } } }";
    let spec = policy("    - { to: db, deny: connect }") + test;
    assert!(message(&spec).contains("a test of Test t does not hold: clerk → tools"));
}

#[test]
fn errors_of_conditions_reject_the_generation_with_their_place() {
    let errors = try_compile(&estate(&with_clerk("  initiate: [{ service: tools, operations: [{ allow: 'GET /a', when: requst.path == 'x' }] }]"))).unwrap_err().0;
    assert_eq!(errors[0].message, "when: there is no requst");
    assert_eq!(errors[0].help.as_deref(), Some("did you mean request?"));
    assert_eq!(errors[0].at.as_ref().unwrap().to_string(), "a.yaml:36");
    let tcp = try_compile(&estate(&with_clerk("  initiate: [{ service: db, operations: [{ allow: connect, when: request.path == 'x' }] }]"))).unwrap_err().0;
    assert_eq!(tcp[0].message, "when: tcp has no request");
}

#[test]
fn a_connection_is_decided_by_who_whom_and_when() {
    let bank = clerk(
        "  initiate: [{ service: db, operations: [{ allow: connect, when: \"source.labels.team == 'crm' && now < timestamp('2026-06-01T00:00:01Z')\" }] }]",
    );
    let ask = |now| judge(&bank, "db", "connect", &Moment::at(now, Seen::Connection));
    let verdict = ask(now());
    assert!(verdict.is_allowed());
    assert_eq!(
        verdict.recheck(),
        Recheck {
            at: None,
            volatile: true
        }
    );
    assert_eq!(
        ask(at("2026-06-01T00:00:01Z")).reason(),
        Reason::ConditionFalse
    );
}

#[test]
fn a_rule_ends_with_its_day() {
    let bank = clerk(
        r#"  initiate:
    - service: tools
      until: 2026-06-30
      operations: [GET /a, { allow: GET /b, until: 2026-05-31 }, { allow: GET /b, until: 2026-07-31 }]
    - service: db
      until: 2026-06-10
      operations: [connect]
"#,
    );
    let ask = |to: &str, op: &str, when: &str| judge(&bank, to, op, &moment(at(when)));
    let day = "2026-06-30T23:59:59Z";
    assert!(ask("tools", "GET /a", day).is_allowed());
    assert_eq!(
        ask("tools", "GET /a", "2026-07-01T00:00:00Z").reason(),
        Reason::RuleEnded
    );
    assert_eq!(
        ask("tools", "GET /a", day).recheck().at,
        Some(at("2026-07-01T00:00:00Z"))
    );
    // The earlier of an entry's end and its operation's; the rule that still holds is found behind the one that ended.
    assert!(ask("tools", "GET /b", day).is_allowed());
    assert!(!ask("tools", "GET /b", "2026-07-01T00:00:00Z").is_allowed());
    let meet = |to: &str, when: &str| {
        let (from, to) = (bank.find("clerk").unwrap(), bank.find(to).unwrap());
        bank.may_meet(from, to, at(when))
    };
    let open = meet("db", "2026-06-10T12:00:00Z");
    assert!(open.is_allowed());
    assert_eq!(open.recheck().at, Some(at("2026-06-11T00:00:00Z")));
    assert!(!meet("db", "2026-06-11T00:00:00Z").is_allowed());
    let told = bank.explain_text(
        "clerk",
        "tools",
        "GET /a",
        &moment(at("2026-07-02T00:00:00Z")),
    );
    assert!(
        told.reason
            .contains("rule GET /a ended at 2026-07-01T00:00:00Z"),
        "{}",
        told.reason
    );
}

fn guarded(guardrail: &str) -> Snapshot {
    clerk(&format!(
        r#"  initiate:
    - {{ service: tools, operations: ["* /**"] }}
    - {{ service: data, operations: ["GET /rows/*", "POST /rows"] }}
    - {{ service: db, operations: [connect] }}
---
kind: Guardrail
metadata: {{ name: g }}
spec: {{ owner: sec, reason: nobody deletes, {guardrail} }}
"#
    ))
}

#[test]
fn guardrails_only_narrow() {
    let ask = |bank: &Snapshot, to: &str, op: &str| sent(bank, to, op, "mode=on").reason();
    let bank = guarded("from: ['*'], to: ['*'], deny: ['DELETE /**', 'connect']");
    assert_eq!(ask(&bank, "tools", "DELETE /x"), Reason::Guardrail);
    assert_eq!(ask(&bank, "tools", "GET /x"), Reason::Allowed);
    assert_eq!(ask(&bank, "db", "connect"), Reason::Guardrail);
    // No operation is left, so they do not meet.
    assert_eq!(meet(&bank, "clerk", "db"), Reason::NothingInCommon);
    assert_eq!(meet(&bank, "clerk", "tools"), Reason::Allowed);
    let told = explain(&bank, "tools", "DELETE /x", None);
    assert_eq!(told.reason, "guardrail g forbids DELETE /x: nobody deletes");
    assert_eq!(told.rule.unwrap().to_string(), "a.yaml:43");

    let bank = guarded("from: [clerk], to: [tools], only: ['GET /a/**']");
    assert_eq!(ask(&bank, "tools", "GET /a/b"), Reason::Allowed);
    assert_eq!(ask(&bank, "tools", "GET /b"), Reason::Guardrail);
    assert_eq!(ask(&bank, "db", "connect"), Reason::Allowed);

    // All others are forbidden, also where the list cannot be said in the receiver's protocol.
    let bank = guarded("from: [clerk], to: ['*'], only: ['GET /**']");
    assert_eq!(ask(&bank, "db", "connect"), Reason::Guardrail);
    assert_eq!(meet(&bank, "clerk", "db"), Reason::NothingInCommon);

    // For others it is not there.
    let bank = guarded("from: [peer], to: ['*'], deny: ['* /**', connect]");
    assert_eq!(ask(&bank, "tools", "DELETE /x"), Reason::Allowed);
    assert_eq!(ask(&bank, "db", "connect"), Reason::Allowed);
}

#[test]
fn a_guardrail_whose_condition_errs_forbids() {
    let bank = guarded(
        "from: ['*'], to: [tools], deny: ['POST /**'], when: \"request.query.mode == 'strict'\"",
    );
    let ask = |query: &str| sent(&bank, "tools", "POST /x", query).reason();
    assert_eq!(ask("mode=strict"), Reason::Guardrail);
    assert_eq!(ask("mode=lax"), Reason::Allowed);
    assert_eq!(ask(""), Reason::GuardrailErrored);
    assert_eq!(ask("mode=lax&mode=lax"), Reason::GuardrailErrored);
    let unknown = explain(&bank, "tools", "POST /x", None);
    assert!(unknown.conditional && unknown.needs == ["request.query.mode"]);
    assert!(explain(&bank, "tools", "GET /x", None).allowed);
    assert_eq!(meet(&bank, "clerk", "tools"), Reason::Allowed);
}

#[test]
fn a_mode_softens_its_own_policys_refusals_and_nothing_else() {
    for (mode, soft) in [
        ("learn\n  until: 2026-06-20", true),
        ("shadow\n  until: 2026-06-01", true),
        ("learn", false),
        ("learn\n  until: 2026-05-31", false),
        ("shadow\n  until: 2026-09-01", false),
    ] {
        let bank = clerk(&format!(
            "  mode: {mode}\n  initiate: [{{ service: tools, operations: [GET /a] }}, {{ service: data, operations: [GET /rows/*, DELETE /rows] }}]"
        ));
        let ask = |to: &str, op: &str| {
            let verdict = sent(&bank, to, op, "");
            (verdict.ruled(), verdict.reason())
        };
        let softened = if soft { Ruled::WouldDeny } else { Ruled::Deny };
        assert_eq!(
            ask("tools", "GET /a"),
            (Ruled::Allow, Reason::Allowed),
            "{mode}"
        );
        assert_eq!(
            ask("tools", "GET /b"),
            (softened, Reason::OperationNotInitiated),
            "{mode}"
        );
        assert_eq!(
            ask("db", "connect"),
            (softened, Reason::ReceiverNotNamed),
            "{mode}"
        );
        // The other end is not softened.
        assert_eq!(
            ask("data", "DELETE /rows"),
            (Ruled::Deny, Reason::OperationNotReceived),
            "{mode}"
        );
        assert_eq!(
            ask("data", "GET /rows/13"),
            (Ruled::Deny, Reason::ConditionFalse),
            "{mode}"
        );
        let other_end = if soft {
            Reason::ReceiverWithoutPolicy
        } else {
            Reason::ReceiverNotNamed
        };
        assert_eq!(ask("peer", "GET /x"), (Ruled::Deny, other_end), "{mode}");
        assert_eq!(
            meet(&bank, "clerk", "db"),
            Reason::ReceiverNotNamed,
            "{mode}"
        );
        let (from, to) = (bank.find("clerk").unwrap(), bank.find("db").unwrap());
        assert_eq!(bank.may_meet(from, to, now()).is_allowed(), soft, "{mode}");
        if soft {
            let verdict = sent(&bank, "db", "connect", "");
            assert_eq!(verdict.mode().as_str(), &mode[..mode.find('\n').unwrap()]);
            assert!(verdict.recheck().at.is_some());
            assert!(verdict.is_allowed());
        }
    }
}

#[test]
fn what_a_mode_softens_a_guardrail_still_forbids() {
    let bank = clerk(
        "  mode: learn\n  until: 2026-06-20\n---\nkind: Guardrail\nmetadata: { name: g }\nspec: { owner: o, reason: r, from: ['*'], to: [tools], deny: ['DELETE /**'] }",
    );
    assert_eq!(sent(&bank, "tools", "GET /a", "").ruled(), Ruled::WouldDeny);
    let denied = sent(&bank, "tools", "DELETE /a", "");
    assert_eq!(
        (denied.ruled(), denied.reason()),
        (Ruled::Deny, Reason::Guardrail)
    );
}

#[test]
fn a_receivers_policy_in_shadow_takes_what_it_would_refuse() {
    let text = format!(
        "{BASE}kind: Policy\nmetadata: {{ name: clerk }}\nspec: {{ agent: clerk, initiate: [{{ agent: peer, operations: ['* /**'] }}, {{ service: data, operations: ['* /**'] }}] }}\n---\nkind: Policy\nmetadata: {{ name: peer }}\nspec: {{ agent: peer, mode: shadow, until: 2026-06-20, receive: [] }}\n---\nkind: Policy\nmetadata: {{ name: data }}\nspec: {{ service: data, mode: shadow, until: 2026-06-20 }}"
    );
    let bank = compile(&text);
    let verdict = sent(&bank, "peer", "GET /x", "");
    assert_eq!(
        (verdict.ruled(), verdict.reason()),
        (Ruled::WouldDeny, Reason::InitiatorNotReceived)
    );
    // Its list stands in the service, not in the policy that is in shadow.
    assert_eq!(sent(&bank, "data", "DELETE /x", "").ruled(), Ruled::Deny);
    let (from, to) = (bank.find("clerk").unwrap(), bank.find("peer").unwrap());
    assert!(bank.may_meet(from, to, now()).is_allowed());
}

#[test]
fn says_beforehand_what_it_will_read() {
    let bank = clerk(
        r#"  initiate:
    - service: tools
      operations: [{ allow: POST /refund, when: body.amount < 5 }, { allow: GET /a, when: request.query.a == '1' }, GET /free]
    - service: db
      operations: [{ allow: connect, until: 2026-06-30 }]
"#,
    );
    let ix = |name: &str| bank.find(name).unwrap();
    let body = |op: &str| {
        let callee = bank.workload(ix("tools"));
        let op = Concrete::parse(op, callee.serves.unwrap().0, callee.path_allowances).unwrap();
        bank.reads_body(ix("clerk"), ix("tools"), Operation::from(&op))
    };
    assert!(body("POST /refund") && !body("GET /a") && !body("PUT /refund"));
    assert!(bank.reads_request(ix("clerk"), ix("tools")));
    assert!(!bank.reads_request(ix("clerk"), ix("db")));
    assert!(bank.reads_request(ix("clerk"), ix("data")));
    assert!(!bank.reads_request(ix("peer"), ix("tools")));
    let guarded = guarded("from: ['*'], to: [tools], deny: ['POST /**'], when: \"has(body.x)\"");
    let op = Concrete::parse(
        "POST /x",
        guarded
            .workload(guarded.find("tools").unwrap())
            .serves
            .unwrap()
            .0,
        Default::default(),
    )
    .unwrap();
    assert!(guarded.reads_body(
        guarded.find("clerk").unwrap(),
        guarded.find("tools").unwrap(),
        Operation::from(&op)
    ));
}

#[test]
fn time_of_day_may_come_and_go() {
    let bank = clerk(
        "  initiate: [{ service: tools, operations: [{ allow: GET /a, when: now.getHours() >= 9 && now.getHours() < 17 }] }]",
    );
    let ask = |when: &str| {
        judge(
            &bank,
            "tools",
            "GET /a",
            &Moment::at(when.parse::<Timestamp>().unwrap(), Seen::Nothing),
        )
    };
    assert!(ask("2026-06-01T09:00:00Z").is_allowed());
    assert!(!ask("2026-06-01T17:00:00Z").is_allowed());
    let with = explain(
        &bank,
        "tools",
        "GET /a",
        Some(r#"{"now": "2026-06-01T12:00:00Z"}"#),
    );
    assert!(with.allowed);
}

/// `/x%3Apurge` is `/x:purge` to most servers.
#[test]
fn an_escape_does_not_carry_an_operation_past_a_guardrail() {
    let ask = |bank: &Snapshot, op: &str| sent(bank, "tools", op, "mode=on").reason();
    for pattern in ["POST /v1/x:purge", "POST /v1/x%3Apurge"] {
        let deny = guarded(&format!("from: ['*'], to: [tools], deny: ['{pattern}']"));
        let only = guarded(&format!("from: ['*'], to: [tools], only: ['{pattern}']"));
        for path in [
            "/v1/x:purge",
            "/v1/x%3Apurge",
            "/v1/x%3apurge",
            "/v1/%78:purge",
        ] {
            let op = format!("POST {path}");
            assert_eq!(ask(&deny, &op), Reason::Guardrail, "{pattern} {path}");
            // What is read both ways has to be listed both ways.
            let listed = !path.to_ascii_lowercase().contains("%3a") || pattern.contains('%');
            let expected = if listed {
                Reason::Allowed
            } else {
                Reason::Guardrail
            };
            assert_eq!(ask(&only, &op), expected, "{pattern} {path}");
        }
        // An escaped percent sign is another path; one that hides an escape is none at all.
        for path in ["/v1/x%25purge", "/v1/x", "/v1/x:purgE"] {
            let op = format!("POST {path}");
            assert_eq!(ask(&deny, &op), Reason::Allowed, "{pattern} {path}");
            assert_eq!(ask(&only, &op), Reason::Guardrail, "{pattern} {path}");
        }
    }
    let bank = guarded(
        "from: ['*'], to: [tools], deny: ['* /**'], when: \"request.path.endsWith(':purge')\"",
    );
    assert_eq!(ask(&bank, "POST /v1/x%3Apurge"), Reason::Guardrail);
    assert_eq!(ask(&bank, "POST /v1/x%3Apurg"), Reason::Allowed);
}
