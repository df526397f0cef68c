//! What people are told is what happens: random estates, real requests through a live door, and `explain` beside them.

mod estates;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use ringfence_model::Kind as WorkloadKind;
use ringfence_model::flow::{Flow, Kind, Outcome};
use ringfence_policy::{Explanation, Moment, Ruled};
use serde_json::json;

use estates::{Guardrail, Try, WORKLOADS, Workload, Written, attempt, guardrail, workload};

use super::scene::{Client, Reached, serve, serve_opaque};
use super::*;

/// Estates tried, each with [`TRIES`] attempts.
const CASES: u32 = 200;
const TRIES: usize = 14;
/// How often what was seen.
type Tally = Mutex<HashMap<String, usize>>;

fn count(tally: &Tally, what: &str) {
    *tally.lock().unwrap().entry(what.to_owned()).or_default() += 1;
}

async fn case(
    workloads: &[Workload],
    guardrails: &[Guardrail],
    tries: &[Try],
    tally: &Tally,
) -> TestCaseResult {
    let mut ports = Vec::new();
    let mut reached: Vec<Reached> = Vec::new();
    let mut servers = tokio::task::JoinSet::new();
    for workload in workloads {
        let (listening, port) = listener().await;
        let seen = Reached::default();
        match workload.http {
            Some(true) => servers.spawn(serve(listening, Arc::clone(&seen))),
            _ => servers.spawn(serve_opaque(listening)),
        };
        ports.push(port);
        reached.push(seen);
    }
    let yaml = Written {
        workloads,
        guardrails,
        ports: &ports,
    }
    .yaml();
    let world = World::new(&yaml);
    let homes: Vec<_> = workloads
        .iter()
        .enumerate()
        .map(|(index, workload)| {
            let kind = if workload.agent {
                WorkloadKind::Agent
            } else {
                WorkloadKind::Service
            };
            world.running_as(kind, &format!("w{index}"))
        })
        .collect();
    for attempt in tries {
        let Try { from, to, .. } = *attempt;
        let Some(http) = workloads[to].http else {
            continue;
        };
        if from == to {
            continue;
        }
        let context = || format!("{attempt:?}\n{yaml}");
        let with = if http { attempt.with() } else { json!({}) };
        let operation = if http {
            format!("{} {}", attempt.method, attempt.path)
        } else {
            "connect".to_owned()
        };
        let explain = |operation: &str| -> Explanation {
            let force = world.node.current.load();
            let moment = Moment::supplied(with.as_object(), Timestamp::now()).unwrap();
            force
                .snapshot
                .explain_text(&format!("w{from}"), &format!("w{to}"), operation, &moment)
        };
        let told = explain(&operation);
        let before = world.flows().len();
        let address = world.at(u8::try_from(to + 1).unwrap(), ports[to]);
        let (stream, serving) = knock(&world, &homes[from], address).await;
        let mut client = Client { stream, serving };
        let passed = if http {
            let arrived = reached[to].lock().unwrap().len();
            let answer = client.answer(&attempt.request()).await;
            let now = reached[to].lock().unwrap().len() - arrived;
            prop_assert!(
                now <= 1 && (now == 1) == answer.starts_with("HTTP/1.1 200 "),
                "{answer}{}",
                context()
            );
            prop_assert!(
                now == 1 || answer.is_empty() || answer.starts_with("HTTP/1.1 403 "),
                "{answer}{}",
                context()
            );
            now == 1
        } else {
            !client.answer("").await.is_empty()
        };
        let flows = world.flows();
        let last = flows.last().map(|flow| &flow.reason);
        prop_assert_eq!(
            passed,
            told.allowed,
            "{}\n{:?}\n{}",
            told.reason,
            last,
            context()
        );
        let news: Vec<&Flow> = flows[before..]
            .iter()
            .filter(|flow| flow.kind() != Kind::Close)
            .collect();
        prop_assert!(news[0].kind() == Kind::Connection);
        let decided = news.last().unwrap();
        // What was let in as a connection is decided as a request; what was not, could be allowed by no request.
        prop_assert_eq!(
            news.len(),
            if http && decided.kind() == Kind::Operation {
                2
            } else {
                1
            }
        );
        if told.conditional {
            // It needs what cannot be written: live that is an error, and denies as well.
            prop_assert_ne!(decided.outcome(), Outcome::Allow, "{}", context());
        } else if decided.kind() == Kind::Operation || !http {
            let told = (
                told.ruled.as_str(),
                told.rule.map(|at| at.to_string()).unwrap_or_default(),
                told.mode,
            );
            let recorded = (
                decided
                    .outcome()
                    .as_str_name()
                    .to_ascii_lowercase()
                    .replace("outcome_", "")
                    .replace('_', "-"),
                decided.rule.clone(),
                decided.mode.as_str(),
            );
            prop_assert_eq!(
                (recorded.0.as_str(), recorded.1, recorded.2),
                told,
                "{}\n{}",
                decided.reason,
                context()
            );
        } else {
            prop_assert_eq!(told.ruled, Ruled::Deny, "{}", context());
        }
        count(tally, told_as(decided));
        count(
            tally,
            if workloads[to].agent {
                "to agents"
            } else {
                "to services"
            },
        );
        count(
            tally,
            if workloads[from].agent {
                "from agents"
            } else {
                "from services"
            },
        );
        if attempt.body.is_some() && decided.reason.contains("body") {
            count(tally, "on bodies");
        }
    }
    Ok(())
}

/// The sort of a decision, for the tally.
fn told_as(flow: &Flow) -> &'static str {
    let says = |text: &str| flow.reason.contains(text);
    match flow.outcome() {
        Outcome::Allow => "allowed",
        Outcome::WouldDeny => "would be denied",
        _ if says("guardrail") && says("could not be evaluated") => "guardrail errs",
        _ if says("guardrail") => "guardrail",
        _ if says("could not be evaluated") => "condition errs",
        _ if says("is false") => "condition false",
        _ if says(" ended at ") => "rule ended",
        _ => "no rule",
    }
}

#[test]
fn what_people_are_told_is_what_happens() {
    let soon = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
        + jiff::Span::new().days(5);
    let soon: &'static str = Box::leak(soon.to_string().into_boxed_str());
    let strategy = (
        prop::collection::vec(workload(soon), WORKLOADS),
        prop::collection::vec(guardrail(), 0..4),
        prop::collection::vec(attempt(), TRIES),
    );
    let tally = Tally::default();
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    });
    let ran = runner.run(&strategy, |(workloads, guardrails, tries)| {
        // One for each case: whatever a case has left running, and its sockets, end with it.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(case(&workloads, &guardrails, &tries, &tally))
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
    // A sample in which everything is denied, or nothing is, tells nothing.
    let tally = tally.into_inner().unwrap();
    for (what, least) in [
        ("allowed", 200),
        ("would be denied", 80),
        ("guardrail", 50),
        ("guardrail errs", 3),
        ("condition errs", 20),
        ("condition false", 20),
        ("rule ended", 5),
        ("no rule", 200),
        ("on bodies", 10),
        ("to agents", 200),
        ("to services", 200),
        ("from agents", 200),
        ("from services", 200),
    ] {
        let seen = tally.get(what).copied().unwrap_or(0);
        assert!(seen >= least, "{what}: {seen} of {tally:#?}");
    }
}
