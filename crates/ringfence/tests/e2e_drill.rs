//! A quarantine is rehearsed on a running node: measured with real traffic, and nothing of it stays, however it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{BINARY, Puppet, cache, start};
use ringfence_model::RecordKind;
use ringfence_testbed::{Node, Output};
use serde_json::{Value, json};

fn words<'a>(state: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec![
        BINARY,
        "drill",
        "quarantine",
        "--state",
        state,
        "-o",
        "json",
    ];
    words.extend(more);
    words
}

fn drill(node: &Node, more: &[&str]) -> Output {
    let state = node.state().display().to_string();
    node.host().run(words(&state, more)).unwrap()
}

fn nothing_is_left(node: &Node) {
    node.await_that("the end of the drill", |node| {
        let status = node.status()?.1;
        let said = format!("{}{}", status["estate"], status["workloads"]);
        let left = said.contains("ringfence-drill") || status["quarantined"] != json!([]);
        Ok((!left).then_some(()))
    })
    .unwrap();
    assert_eq!(node.status().unwrap().0, 0);
}

fn events(node: &Node) -> Vec<String> {
    let of = |r: &ringfence_model::FlowRecord| {
        r.kind == RecordKind::Event
            && (r.operation.starts_with("drill")
                || r.operation == "quarantine"
                || r.operation == "release")
    };
    let events = node.flows_where(0, of).unwrap();
    events.into_iter().map(|r| r.operation).collect()
}

#[test]
fn a_drill_measures_real_traffic_and_leaves_nothing_behind() {
    let node = start();
    let _cache = cache(&node);
    let mut agent = Puppet::start(&node);
    agent.tell(json!(["open_tcp", "kept", "cache", 6379]));
    let done = drill(&node, &["--connections", "40", "--rounds", "2"]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&told["connections"], &told["left"], &told["passed"]),
        (&json!(40), &json!(0), &json!(true))
    );
    let of = |what: &str, part: &str| told[what][part].as_u64().unwrap();
    assert!(
        of("reset", "p50Ns") > 0 && of("lastByte", "maxNs") <= of("reset", "maxNs"),
        "{told}"
    );
    nothing_is_left(&node);
    assert_eq!(
        events(&node),
        [
            "drill began",
            "quarantine",
            "release",
            "quarantine",
            "release",
            "drill ended"
        ]
    );
    // Others noticed nothing of it.
    assert_eq!(
        agent.tell(json!(["say", "kept", "hello"]))["heard"],
        "hello"
    );

    // With a workload that runs: only by whoever knows what that does.
    assert_eq!(drill(&node, &["agent"]).code, Some(2));
    let done = drill(&node, &["agent", "--yes"]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(told["connections"], 1);
    nothing_is_left(&node);
    assert!(agent.tell(json!(["say", "kept", "hello"]))["error"].is_string());
    assert_eq!(agent.tell(json!(["tcp", "cache", 6379]))["reached"], 1);
}

#[test]
fn one_that_is_interrupted_leaves_nothing_behind_either() {
    let node = start();
    for signal in ["INT", "KILL"] {
        let state = node.state().display().to_string();
        let mut drill = node
            .host()
            .start(words(&state, &["--rounds", "100"]))
            .unwrap();
        node.await_that("the drill", |node| {
            let status = node.status()?.1;
            Ok(status["quarantined"]
                .to_string()
                .contains("ringfence-drill")
                .then_some(()))
        })
        .unwrap();
        let found = node.host().processes().unwrap();
        let (pid, _) = found
            .iter()
            .find(|(_, line)| line.contains("drill quarantine --state"))
            .unwrap();
        node.host().signal(signal, *pid).unwrap();
        drill.wait(Duration::from_secs(30)).unwrap();
        nothing_is_left(&node);
    }
}

/// The node is stopped while the drill asks for its quarantine: what the drill sent goes on arriving, and it says how long.
#[test]
fn a_cut_that_comes_late_fails_the_drill() {
    let node = start();
    let state = node.state().display().to_string();
    let mut drill = node
        .host()
        .start(words(&state, &["--connections", "8", "--rounds", "100"]))
        .unwrap();
    node.await_that("the first rounds", |node| {
        let rounds = events(node).iter().filter(|one| *one == "release").count();
        Ok((rounds >= 2).then_some(()))
    })
    .unwrap();
    // Whatever it waits for the first time, sooner or later that is its quarantine.
    for _ in 0..20 {
        if !drill.is_running().unwrap() {
            break;
        }
        node.host().signal("STOP", node.pid()).unwrap();
        std::thread::sleep(Duration::from_millis(1800));
        node.host().signal("CONT", node.pid()).unwrap();
        std::thread::sleep(Duration::from_millis(150));
    }
    let done = drill.wait(Duration::from_secs(120)).unwrap();
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let late = told["lastByte"]["maxNs"].as_u64().unwrap();
    assert_eq!(done.code, Some(4), "{}{}", done.stdout, done.stderr);
    assert!(
        told["passed"] == false && told["left"] == 0 && late > 1_000_000_000,
        "{told}"
    );
    nothing_is_left(&node);
}
