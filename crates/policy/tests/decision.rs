//! The semantics of a decision, one line of the specification at a time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use ringfence_model::{CanonicalPath, Estate, Generation, HostName, WorkloadId};
use ringfence_policy::{AddressBook, Operation, Reason, Snapshot, provisional_addresses};

const WORKLOADS: &str = "\
kind: Service
metadata: {name: open}
spec: {protocol: http, port: 80}
---
kind: Service
metadata: {name: listed}
spec: {protocol: http, port: 80, receive: [{agent: clerk, operations: ['GET /a/**']}, {service: open, operations: ['* /**']}]}
---
kind: Service
metadata: {name: shut}
spec: {protocol: http, port: 80, receive: []}
---
kind: Service
metadata: {name: raw}
spec: {protocol: tcp, port: 81}
---
kind: Agent
metadata: {name: clerk}
---
kind: Agent
metadata: {name: lone}
spec: {serves: {protocol: http, port: 90}}
---
kind: Agent
metadata: {name: peer}
spec: {serves: {protocol: http, port: 90}}
---
";

fn bank(policies: &str) -> Snapshot {
    compile(&format!("{WORKLOADS}{policies}"))
}

const CLERK: &str = "\
kind: Policy
metadata: {name: clerk}
spec:
  agent: clerk
  initiate:
  - {service: open, operations: ['GET /customers/*', 'PATCH /customers/{id}/notes']}
  - {service: open, operations: ['GET /health']}
  - {service: listed, operations: ['* /**']}
  - {service: shut, operations: ['* /**']}
  - {service: raw, operations: [connect]}
  - {agent: lone, operations: ['* /**']}
  - {agent: peer, operations: ['POST /chat']}
---
kind: Policy
metadata: {name: peer}
spec:
  agent: peer
  receive:
  - {agent: clerk, operations: ['POST /*']}
";

#[test]
fn an_operation_passes_when_both_ends_allow_it() {
    let bank = bank(CLERK);
    assert!(allows(&bank, "clerk", "open", "GET /customers/42"));
    assert!(allows(&bank, "clerk", "open", "PATCH /customers/42/notes"));
    assert!(
        allows(&bank, "clerk", "open", "GET /health"),
        "entries for one peer are one set"
    );
    assert!(allows(&bank, "clerk", "listed", "GET /a/b"));
    assert!(allows(&bank, "clerk", "raw", "connect"));
    assert!(allows(&bank, "clerk", "peer", "POST /chat"));
}

#[test]
fn what_the_initiator_does_not_name_is_denied() {
    let bank = bank(CLERK);
    use Reason::OperationNotInitiated as Missing;
    for op in [
        "GET /customers/",
        "GET /customers",
        "GET /customers/42/notes",
        "DELETE /customers/42",
        "get /customers/42",
    ] {
        assert_eq!(why(&bank, "clerk", "open", op), Missing, "{op}");
    }
    assert_eq!(why(&bank, "clerk", "peer", "POST /other"), Missing);
    assert_eq!(
        why(&bank, "peer", "open", "GET /"),
        Reason::ReceiverNotNamed
    );
    assert_eq!(
        why(&bank, "lone", "open", "GET /"),
        Reason::InitiatorWithoutPolicy
    );
    assert_eq!(
        why(&bank, "open", "listed", "GET /"),
        Reason::InitiatorWithoutPolicy
    );
    assert_eq!(
        why(
            &bank,
            "clerk",
            "clerk".replace("clerk", "lone").as_str(),
            "GET /"
        ),
        Reason::ReceiverWithoutPolicy
    );
}

#[test]
fn what_the_receiver_does_not_take_is_denied() {
    let bank = bank(CLERK);
    assert_eq!(
        why(&bank, "clerk", "listed", "GET /b"),
        Reason::OperationNotReceived
    );
    assert_eq!(
        why(&bank, "clerk", "shut", "GET /b"),
        Reason::InitiatorNotReceived
    );
    assert_eq!(
        why(&bank, "clerk", "lone", "GET /b"),
        Reason::ReceiverWithoutPolicy
    );
}

#[test]
fn an_agent_with_a_policy_but_no_receive_list_takes_nothing() {
    let bank = bank(&format!(
        "{CLERK}---\nkind: Policy\nmetadata: {{name: l}}\nspec: {{agent: lone}}\n"
    ));
    assert_eq!(
        why(&bank, "clerk", "lone", "GET /b"),
        Reason::InitiatorNotReceived
    );
}

#[test]
fn services_initiate_under_the_same_rules() {
    let bank = bank(
        "kind: Policy\nmetadata: {name: o}\nspec: {service: open, initiate: [{service: listed, operations: ['GET /x']}]}\n",
    );
    assert!(allows(&bank, "open", "listed", "GET /x"));
    assert_eq!(
        why(&bank, "open", "listed", "GET /y"),
        Reason::OperationNotInitiated
    );
    assert_eq!(
        why(&bank, "open", "raw", "connect"),
        Reason::ReceiverNotNamed
    );
}

#[test]
fn a_service_receives_by_its_policy_as_by_its_resource() {
    let with = |receive: &str| {
        bank(&format!(
            "{CLERK}---\nkind: Policy\nmetadata: {{name: o}}\nspec: {{service: open{receive}}}\n"
        ))
    };
    let op = "GET /customers/42";
    assert!(
        allows(&with(""), "clerk", "open", op),
        "a policy without list leaves it open"
    );
    assert_eq!(
        why(&with(", receive: []"), "clerk", "open", op),
        Reason::InitiatorNotReceived
    );
    let listed = with(", receive: [{agent: clerk, operations: ['GET /customers/42']}]");
    assert!(allows(&listed, "clerk", "open", op));
    assert_eq!(
        why(&listed, "clerk", "open", "GET /customers/43"),
        Reason::OperationNotReceived
    );
}

#[test]
fn they_may_meet_exactly_when_some_operation_passes() {
    let bank = bank(CLERK);
    assert_eq!(meet(&bank, "clerk", "open"), Reason::Allowed);
    assert_eq!(meet(&bank, "clerk", "listed"), Reason::Allowed);
    assert_eq!(meet(&bank, "clerk", "raw"), Reason::Allowed);
    assert_eq!(meet(&bank, "clerk", "peer"), Reason::Allowed);
    assert_eq!(meet(&bank, "clerk", "shut"), Reason::InitiatorNotReceived);
    assert_eq!(meet(&bank, "clerk", "lone"), Reason::ReceiverWithoutPolicy);
    assert_eq!(meet(&bank, "peer", "clerk"), Reason::NothingServed);
    let apart = CLERK.replace("'POST /*'", "'GET /**'");
    let bank = self::bank(&apart);
    assert_eq!(meet(&bank, "clerk", "peer"), Reason::NothingInCommon);
}

#[test]
fn an_operation_of_another_protocol_is_denied() {
    let bank = bank(CLERK);
    let ix = |name| bank.find(name).unwrap();
    let path = CanonicalPath::new(b"/health", Default::default()).unwrap();
    let http = Operation::Http {
        method: "connect",
        path: &path,
    };
    let denied = bank.decide(ix("clerk"), ix("raw"), http, &moment(now()));
    assert_eq!(denied.reason(), Reason::OtherProtocol);
    let denied = bank.decide(ix("clerk"), ix("open"), Operation::Connect, &moment(now()));
    assert_eq!(denied.reason(), Reason::OtherProtocol);
    let denied = bank.decide(ix("clerk"), ix("clerk"), Operation::Connect, &moment(now()));
    assert_eq!(denied.reason(), Reason::NothingServed);
}

#[test]
fn an_exemption_holds_through_its_last_day_and_then_denies() {
    let text = |until: &str, tls: &str| {
        format!(
            "kind: Service\nmetadata: {{name: db}}\nspec:\n  protocol: tcp\n  port: 1\n  endpoints: [{{address: 'x:1'{tls}}}]\n  mutualAuth: {{exempt: old, until: {until}}}\n---\nkind: Agent\nmetadata: {{name: a}}\n---\nkind: Policy\nmetadata: {{name: a}}\nspec:\n  agent: a\n  initiate: [{{service: db, operations: [connect]}}]\n  tests: [{{to: db, allow: connect}}]\n"
        )
    };
    let db = compile(&text("2026-06-01", ""));
    let reason = |when| verdict_at(&db, "a", "db", "connect", at(when)).reason();
    assert_eq!(reason("2026-06-01T23:59:59.999999999Z"), Reason::Allowed);
    assert_eq!(reason("2026-06-02T00:00:00Z"), Reason::ExemptionLapsed);
    let (a, to) = (db.find("a").unwrap(), db.find("db").unwrap());
    assert_eq!(
        db.may_meet(a, to, at("2026-06-02T00:00:00Z")).reason(),
        Reason::ExemptionLapsed
    );
    let told = db.explain(a, to, None, &moment(at("2027-01-01T00:00:00Z")));
    assert_eq!(
        told.reason,
        "the exemption of service db from mutual authentication ended with 2026-06-01"
    );
    assert_eq!(told.rule.unwrap().to_string(), "a.yaml:8");
    // Where all endpoints prove themselves, nothing rests on it.
    let db = compile(&text(
        "2026-06-01",
        ", tls: {clientCert: {cert: c, key: k}}",
    ));
    assert!(verdict_at(&db, "a", "db", "connect", at("2030-01-01T00:00:00Z")).is_allowed());
    // One that has ended long ago loads, tests and all, and denies.
    let db = compile(&text("2001-01-01", ""));
    assert_eq!(why(&db, "a", "db", "connect"), Reason::ExemptionLapsed);
}

#[test]
fn nothing_passes_an_empty_snapshot_or_with_a_stranger() {
    let (one, two) = (bank(CLERK), bank(CLERK));
    let (from, to) = (one.find("clerk").unwrap(), one.find("raw").unwrap());
    assert!(
        one.decide(from, to, Operation::Connect, &moment(now()))
            .is_allowed()
    );
    for other in [&two, &Snapshot::empty()] {
        assert_eq!(
            other
                .decide(from, to, Operation::Connect, &moment(now()))
                .reason(),
            Reason::Unknown
        );
        assert_eq!(other.may_meet(from, to, now()).reason(), Reason::Unknown);
        assert!(!other.explain(from, to, None, &moment(now())).allowed);
        assert!(other.get(from).is_none());
        assert!(!other.authority_names(to, "raw"));
    }
    assert_eq!(Snapshot::empty().find("clerk"), None);
    assert_eq!(one.generation(), Generation(7));
}

#[test]
fn a_test_that_does_not_hold_rejects_the_generation() {
    let tests = |tests: &str| {
        let text = format!(
            "{WORKLOADS}{}  tests:\n{tests}",
            CLERK.split("---").next().unwrap()
        );
        try_compile(&estate(&text))
    };
    assert!(tests("  - {to: open, allow: 'GET /customers/1'}\n  - {to: open, deny: 'GET /customers/../x'}\n  - {from: peer, deny: 'GET /'}\n").is_ok());
    let errors = tests("  - {to: open, allow: 'GET /customers/1/notes'}\n  - {to: raw, deny: connect}\n  - {to: clerk, allow: 'GET /'}\n").unwrap_err();
    let lines: Vec<String> = errors.0.iter().map(|e| e.to_string()).collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].contains("a test of policy clerk does not hold: clerk → open : GET /customers/1/notes should be allow but is deny: no rule of policy clerk for service open allows GET /customers/1/notes")
            && lines[0].contains("the nearest rule is at a.yaml:")
            && lines[0].contains("PATCH /customers/{id}/notes: method differs: the rule allows PATCH"),
        "{}", lines[0]
    );
    assert!(
        lines[1].contains("should be deny but is allow"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].contains("agent clerk serves nothing"),
        "{}",
        lines[2]
    );
}

/// What the loader refuses, put together by hand: the compiler must not be talked into an open door.
#[test]
fn refuses_estates_that_do_not_hold_together() {
    let good = estate(&format!("{WORKLOADS}{CLERK}"));
    let refused = |change: &dyn Fn(&mut Estate), wanted: &str| {
        let mut estate = good.clone();
        change(&mut estate);
        let errors = try_compile(&estate).expect_err(wanted).to_string();
        assert!(errors.contains(wanted), "{wanted} not in\n{errors}");
    };
    refused(
        &|e| e.services.retain(|s| s.name.as_str() != "raw"),
        "service raw does not exist",
    );
    refused(
        &|e| e.agents.retain(|a| a.name.as_str() != "clerk"),
        "which does not exist",
    );
    refused(
        &|e| e.agents[0].name = e.services[0].name.clone(),
        "two workloads are called",
    );
    refused(
        &|e| e.policies.push(e.policies[0].clone()),
        "agent clerk has two policies",
    );
    refused(&|e| e.agents[1].serves = None, "agent lone serves nothing");
    refused(
        &|e| e.policies[0].initiate[0].operations[0].text = "GET x".into(),
        "the path does not start with /",
    );
    refused(
        &|e| e.services[0].hosts = vec![HostName::new("raw").unwrap()],
        "two workloads answer to raw",
    );
    refused(
        &|e| e.services[0].hosts = vec![HostName::new("raw.ringfence.internal").unwrap()],
        "two workloads answer to raw.ringfence.internal",
    );
    refused(
        &|e| {
            let id = WorkloadId {
                kind: ringfence_model::Kind::Service,
                name: e.services[0].name.clone(),
            };
            assert!(e.services[0].receive.is_some());
            e.policies[1].subject = id;
        },
        "has a receive list, and its policy has one too",
    );
    let zone = HostName::new("z").unwrap();
    let errors = Snapshot::compile(Generation(1), &zone, &good, &AddressBook::new()).unwrap_err();
    assert!(errors.to_string().contains("has no virtual address"));
    let mut book = provisional_addresses(&good);
    let same = *book.values().next().unwrap();
    book.values_mut().for_each(|address| *address = same);
    let errors = Snapshot::compile(Generation(1), &zone, &good, &book).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("is the virtual address of two workloads")
    );
}

#[test]
fn a_plain_endpoint_without_exemption_is_denied_even_if_it_got_this_far() {
    let mut estate = estate(
        "kind: Service\nmetadata: {name: db}\nspec: {protocol: tcp, port: 1, endpoints: [{address: 'x:1'}], mutualAuth: {exempt: x, until: 2099-01-01}}\n---\nkind: Agent\nmetadata: {name: a}\n---\nkind: Policy\nmetadata: {name: a}\nspec: {agent: a, initiate: [{service: db, operations: [connect]}]}\n",
    );
    assert!(allows(&try_compile(&estate).unwrap(), "a", "db", "connect"));
    estate.services[0].mutual_auth = None;
    assert!(!allows(
        &try_compile(&estate).unwrap(),
        "a",
        "db",
        "connect"
    ));
}
