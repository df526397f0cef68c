//! Whatever is missing, broken or late, the answer is no: each case on a real node, with the services that would have
//! been reached listening.
//!
//! Restarts of node, enforcer, launcher and service in every order are in `e2e_restart.rs`; what a half-written or
//! vanished configuration does, in `e2e_reload.rs`; a log that takes nothing, in `e2e_failure.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{BINARY, POLICY, Puppet, SERVICES, cache, options, start, vault, web};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{NodeOptions, Running};
use serde_json::{Value, json};

/// How `run` ends when it starts nothing.
const REFUSED: i32 = 125;

/// What an HTTP service was asked, as it says itself.
fn arrived(service: &Running) -> usize {
    let said = service.process.stdout();
    said.lines()
        .filter(|line| line.starts_with("GET ") || line.starts_with("POST "))
        .count()
}

/// Waits until it has said so many; its words come through a pipe, a little later than its answers.
fn arrives(service: &Running, count: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(10);
    while arrived(service) < count && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    arrived(service)
}

fn is_attempt(record: &FlowRecord) -> bool {
    matches!(record.kind, RecordKind::Connection | RecordKind::Operation)
}

/// A policy whose rules for `web` are these.
fn policy(operations: &str) -> String {
    format!(
        "apiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: agent }}\n\
         spec:\n  agent: agent\n  initiate:\n    - service: web\n      operations: [{operations}]\n"
    )
}

fn get(agent: &mut Puppet, path: &str) -> Value {
    agent.tell(json!(["get", "GET", path]))
}

#[test]
fn without_a_policy_nothing_is_reached() {
    let node = NodeOptions::new(BINARY)
        .file("services.yaml", SERVICES)
        .start()
        .unwrap();
    let (web, _cache) = (web(&node), cache(&node));
    let mut agent = Puppet::start(&node);
    let told = get(&mut agent, "/");
    assert!(
        told["error"]
            .as_str()
            .is_some_and(|error| error.contains("gaierror")),
        "{told}"
    );
    // By address, which an agent may know from elsewhere.
    for last in 1..=5 {
        for port in [8080, 6379] {
            let address = format!("100.64.0.{last}");
            let tried = agent.tell(json!([
                "tcp",
                address,
                port,
                1,
                "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
            ]));
            // The agent's own address is its own affair.
            assert_eq!(tried["reached"], 0, "{address}:{port}");
        }
    }
    assert_eq!(arrived(&web), 0);
    let attempts = node
        .flows_where(0, |r| is_attempt(r) && r.source == "agent")
        .unwrap();
    assert!(
        attempts.iter().all(|r| r.outcome == Outcome::Deny),
        "{attempts:?}"
    );
    assert!(
        attempts.iter().any(|r| r.destination == "web"
            && r.reason == "agent agent has no policy, so it may start nothing"),
        "{attempts:?}"
    );
}

#[test]
fn an_unknown_agent_does_not_start() {
    let node = start();
    let output = node.run("stranger", &["sh", "-c", "echo it runs"]).unwrap();
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(REFUSED), ""),
        "{output:?}"
    );
    assert!(output.stderr.contains("stranger"), "{output:?}");
    assert!(
        node.status().unwrap().1["workloads"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    let claim = node
        .wait_for_flow(|r| r.kind == RecordKind::Event && r.source == "stranger")
        .unwrap();
    assert_ne!(claim.outcome, Outcome::Allow, "{claim:?}");
}

#[test]
fn an_unknown_service_is_nobody() {
    let node = start();
    let _web = web(&node);
    let mut agent = Puppet::start(&node);
    for host in ["nowhere", "nowhere.ringfence.internal", "example.com"] {
        let told = agent.tell(json!(["get", "GET", "/", host, 8080]));
        assert!(
            told["error"]
                .as_str()
                .is_some_and(|error| error.contains("gaierror")),
            "{host}: {told}"
        );
    }
    for address in [
        "100.64.99.99",
        "10.0.0.1",
        "169.254.169.254",
        "8.8.8.8",
        "fd52:6600::ffff",
    ] {
        let tried = agent.tell(json!(["tcp", address, 8080]));
        assert_eq!(tried["reached"], 0, "{address}");
        node.wait_for_flow(|r| {
            r.kind == RecordKind::Connection
                && r.outcome == Outcome::Deny
                && r.destination.is_empty()
                && r.original_destination.contains(address)
        })
        .unwrap();
    }
    // A known one at a port that it does not declare is as unknown.
    let tried = agent.tell(json!(["tcp", "web", 8081]));
    assert_eq!(tried["reached"], 0);
    node.wait_for_flow(|r| r.reason.contains("declares no such port"))
        .unwrap();
}

#[test]
fn a_node_whose_first_policy_is_rejected_lets_nobody_start() {
    let broken = POLICY.replace("mode: enforce", "mode: whatever");
    let node = NodeOptions::new(BINARY)
        .file("services.yaml", SERVICES)
        .file("policy.yaml", &broken)
        .start()
        .unwrap();
    assert_eq!(node.status().unwrap().0, 5);
    for name in ["web", "agent"] {
        let output = node.run(name, &["sh", "-c", "echo it runs"]).unwrap();
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(REFUSED), ""),
            "{output:?}"
        );
    }
    assert!(
        node.flows_where(0, |r| is_attempt(r) && r.outcome == Outcome::Allow)
            .unwrap()
            .is_empty()
    );
    node.write("policy.yaml", POLICY).unwrap();
    node.await_that("the first generation", |node| {
        Ok((node.status()?.0 == 0).then_some(()))
    })
    .unwrap();
    let _web = web(&node);
    let mut agent = Puppet::start(&node);
    assert_eq!(get(&mut agent, "/items/1")["status"], 200);
}

#[test]
fn a_policy_that_was_rejected_gives_nothing_that_it_names() {
    let node = start();
    let (web, vault) = (web(&node), vault(&node));
    let mut agent = Puppet::start(&node);
    assert_eq!(get(&mut agent, "/items/1")["status"], 200);
    // It would open the vault, and does not hold its own test.
    let open = POLICY.replace(
        "service: cache\n      operations: [connect]",
        "service: vault\n      operations: [\"GET /**\"]",
    );
    assert_ne!(open, POLICY);
    node.write("policy.yaml", &open).unwrap();
    node.await_that("the rejection", |node| {
        Ok((node.status()?.0 == 5).then_some(()))
    })
    .unwrap();
    let told = agent.tell(json!(["get", "GET", "/", "vault", 8080]));
    assert!(told["error"].is_string(), "{told}");
    assert_eq!(
        (
            arrived(&vault),
            get(&mut agent, "/items/1")["status"].as_u64()
        ),
        (0, Some(200))
    );
    assert_eq!(arrives(&web, 2), 2);
}

#[test]
fn an_enforcer_that_comes_before_its_policy_denies() {
    let node = start();
    let (web, vault) = (web(&node), vault(&node));
    let mut agent = Puppet::start(&node);
    assert_eq!(get(&mut agent, "/items/1")["status"], 200);
    let before = node.generation().unwrap();
    // By address: without an enforcer, a name is waited for longer than the moment lasts that is looked for.
    let address = |told: Value| told["address"].as_str().map(str::to_owned).unwrap();
    let open = address(agent.tell(json!(["address", "web"])));
    let others: Vec<String> = (1..=5)
        .map(|last| format!("100.64.0.{last}"))
        .filter(|other| *other != open)
        .collect();
    for _ in 0..5 {
        let enforcer = node.kill_enforcer().unwrap();
        // All the while: some of these meet no enforcer, some one without policy, some one that has it.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut recovered = false;
        while !recovered {
            let told = agent.tell(json!(["get", "GET", "/items/1", open, 8080, null, "web"]));
            recovered = told["status"] == 200 && node.enforcer().is_ok_and(|pid| pid != enforcer);
            for other in &others {
                let locked = agent.tell(json!(["get", "GET", "/", other, 8080, null, "vault"]));
                assert!(locked["error"].is_string(), "{locked}");
            }
            assert!(Instant::now() < deadline, "it does not recover: {told}");
        }
        let locked = agent.tell(json!(["get", "GET", "/", "vault", 8080]));
        assert!(locked["error"].is_string(), "{locked}");
        assert_eq!(get(&mut agent, "/items/1")["status"], 200);
    }
    assert_eq!(arrived(&vault), 0);
    let allowed = node
        .flows_where(0, |r| {
            r.kind == RecordKind::Operation && r.protocol == "http" && r.outcome == Outcome::Allow
        })
        .unwrap();
    assert_eq!(
        allowed.len(),
        arrives(&web, allowed.len()),
        "what arrived and what was allowed"
    );
    assert!(
        allowed.iter().all(|r| r.generation == before),
        "{allowed:?}"
    );
}

#[test]
fn conditions_that_fail_err_or_cost_too_much_deny_and_the_enforcer_lives() {
    let dear = "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, !request.query.q.matches(\"^a*$\"))))";
    let rules = format!(
        "{{ allow: \"GET /if\", when: 'request.query.q == \"1\"' }}, {{ allow: \"GET /error\", when: 'int(request.query.q) > 1' }}, {{ allow: \"GET /dear\", when: '{dear}' }}"
    );
    let node = NodeOptions::new(BINARY)
        .file("services.yaml", SERVICES)
        .file("policy.yaml", &policy(&rules))
        .start()
        .unwrap();
    let web = web(&node);
    let mut agent = Puppet::start(&node);
    let enforcer = node.enforcer().unwrap();
    let mut refusals = Vec::new();
    for (path, reason) in [
        ("/if?q=2", "condition of rule GET /if is false"),
        ("/if", "q is absent"),
        ("/if?q=1&q=2", "parameter q is sent more than once"),
        (
            "/error?q=x",
            "condition of rule GET /error could not be evaluated",
        ),
        ("/dear?q=b", "it costs more than"),
        ("/other", "no rule of policy agent"),
    ] {
        let head = node.head().unwrap();
        let told = get(&mut agent, path);
        assert_eq!(told["status"], 403, "{path} {told}");
        refusals.push(told["body"].clone());
        let denied = node
            .wait_for_flow(|r| {
                r.seq >= head && r.kind == RecordKind::Operation && r.protocol == "http"
            })
            .unwrap();
        assert_eq!(denied.outcome, Outcome::Deny);
        assert!(denied.reason.contains(reason), "{}", denied.reason);
    }
    assert!(
        refusals.iter().all(|body| *body == refusals[0]),
        "{refusals:?}"
    );
    assert_eq!(arrived(&web), 0);
    assert_eq!(get(&mut agent, "/if?q=1")["status"], 200);
    assert_eq!(node.enforcer().unwrap(), enforcer);
}

#[test]
fn a_new_agent_that_races_its_policy_reaches_nothing_before_it() {
    let node = NodeOptions::new(BINARY)
        .file("services.yaml", SERVICES)
        .start()
        .unwrap();
    let web = web(&node);
    let mut agent = Puppet::start(&node);
    let before = node.generation().unwrap();
    // It tries all the while that its policy is written; what it hears at last is an answer.
    let refused = get(&mut agent, "/items/0");
    assert!(refused["error"].is_string(), "{refused}");
    node.write("policy.yaml", POLICY).unwrap();
    let told = agent.tell(json!(["until_served", "/items/1", 20]));
    assert_eq!(told["status"], 200, "{told}");
    let allowed = node
        .flows_where(0, |r| {
            r.source == "agent" && is_attempt(r) && r.outcome == Outcome::Allow
        })
        .unwrap();
    assert!(
        !allowed.is_empty() && allowed.iter().all(|r| r.generation > before),
        "{allowed:?}"
    );
    let requests = allowed
        .iter()
        .filter(|r| r.protocol == "http" && r.kind == RecordKind::Operation)
        .count();
    assert_eq!((requests, arrives(&web, 1)), (1, 1));
    // Its own generation came first, then the policy's: nothing was allowed under a mixture.
    let denied = node
        .flows_where(0, |r| r.source == "agent" && r.outcome == Outcome::Deny)
        .unwrap();
    assert!(
        denied.iter().all(|r| r.seq < allowed[0].seq),
        "{denied:?} {allowed:?}"
    );
    // What a bound held back was no try.
    assert!(
        !denied.iter().any(|r| r.reason.contains("too many")),
        "{denied:?}"
    );
}

#[test]
fn a_new_agent_starts_only_once_it_is_known() {
    let services = SERVICES.replace("name: agent }", "name: other }");
    let node = NodeOptions::new(BINARY)
        .file("services.yaml", &services)
        .start()
        .unwrap();
    let web = web(&node);
    let refused = node.run("agent", &["true"]).unwrap();
    assert_eq!(refused.code, Some(REFUSED), "{refused:?}");
    // Both at once, in one file.
    let agent = "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: { name: agent }\n---\n";
    node.write("agent.yaml", &format!("{agent}{}", policy("\"GET /**\"")))
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let output = node
            .run(
                "agent",
                &[
                    "curl",
                    "-sS",
                    "--max-time",
                    "5",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code}",
                    "http://web:8080/items/1",
                ],
            )
            .unwrap();
        if output.code == Some(0) && output.stdout == "200" {
            break;
        }
        // It is either not known yet, or it is with all that it may: never one without the other.
        assert!(
            output.code == Some(REFUSED) && output.stdout.is_empty(),
            "{output:?}"
        );
        assert!(Instant::now() < deadline, "{output:?}");
    }
    assert_eq!(arrives(&web, 1), 1);
}

#[test]
fn what_would_be_denied_passes_and_is_found_with_observe() {
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let learn = policy("\"GET /items/*\"").replace(
        "  agent: agent\n",
        &format!("  agent: agent\n  mode: learn\n  until: {today}\n"),
    );
    let node = options().file("policy.yaml", &learn).start().unwrap();
    let (_web, _cache) = (web(&node), cache(&node));
    let mut agent = Puppet::start(&node);
    assert_eq!(get(&mut agent, "/items/1")["status"], 200);
    assert_eq!(get(&mut agent, "/elsewhere")["status"], 200);
    assert_eq!(agent.tell(json!(["tcp", "cache", 6379]))["reached"], 1);
    assert_eq!(agent.tell(json!(["tcp", "100.64.99.99", 80]))["reached"], 0);
    let output = node
        .verb("observe", &["--verdict", "would-deny", "-o", "json"])
        .unwrap();
    let would: Vec<FlowRecord> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        would
            .iter()
            .all(|r| r.outcome == Outcome::WouldDeny && r.mode == "learn"),
        "{would:?}"
    );
    for (kind, operation, reason) in [
        (
            RecordKind::Operation,
            "GET /elsewhere",
            "no rule of policy agent for service web allows GET /elsewhere",
        ),
        (
            RecordKind::Connection,
            "connect",
            "no rule of policy agent names service cache",
        ),
        (
            RecordKind::Operation,
            "resolve A cache",
            "no rule of policy agent names service cache",
        ),
    ] {
        assert!(
            would
                .iter()
                .any(|r| r.kind == kind && r.operation == operation && r.reason.contains(reason)),
            "{operation}: {would:?}"
        );
    }
    assert!(
        !would.iter().any(|r| r.operation.contains("/items/")),
        "{would:?}"
    );
}

#[test]
fn a_connection_ends_when_its_condition_on_the_clock_does() {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(15);
    let text = POLICY.replace(
        "operations: [connect]",
        &format!("operations: [{{ allow: connect, when: 'now < timestamp(\"{end}\")' }}]"),
    );
    let node = options().file("policy.yaml", &text).start().unwrap();
    let (_web, _cache) = (web(&node), cache(&node));
    let mut agent = Puppet::start(&node);
    assert_eq!(
        agent.tell(json!(["open_tcp", "c", "cache", 6379]))["open"],
        "c"
    );
    assert_eq!(agent.tell(json!(["say", "c", "hello"]))["heard"], "hello");
    let left = end.duration_since(jiff::Timestamp::now());
    std::thread::sleep(left.try_into().unwrap_or_default());
    let close = node
        .wait_for_flow(|r| r.kind == RecordKind::Close && r.destination == "cache")
        .unwrap();
    assert_eq!(close.outcome, Outcome::Deny);
    assert!(
        close
            .reason
            .starts_with("its time is over: condition of rule connect is false"),
        "{}",
        close.reason
    );
    let closed = jiff::Timestamp::from_nanosecond(close.time_ns.into()).unwrap();
    let late = closed.duration_since(end);
    assert!(
        late >= jiff::SignedDuration::ZERO && late < jiff::SignedDuration::from_secs(4),
        "{late}"
    );
    let cut = agent.tell(json!(["say", "c", "again"]));
    assert!(cut["error"].is_string() || cut["heard"] == "", "{cut}");
    assert_eq!(agent.tell(json!(["tcp", "cache", 6379]))["reached"], 0);
    assert_eq!(get(&mut agent, "/items/1")["status"], 200);
}
