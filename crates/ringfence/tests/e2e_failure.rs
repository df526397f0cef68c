//! When parts break: nothing passes, nothing is replayed, everything is recorded, and it works again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{
    Puppet, attempts, cache, curl, options, policy_without_cache, start, start_as, web,
};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Caller, Node};
use serde_json::json;

/// Pids of the host that were not there before.
fn grown(node: &Node, before: &[(u32, String)]) -> Vec<(u32, String)> {
    let now = node.host().processes().unwrap();
    now.into_iter()
        .filter(|(pid, _)| !before.iter().any(|(known, _)| known == pid))
        .collect()
}

fn until_gone(node: &Node, before: &[(u32, String)]) {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let left = grown(node, before);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_new_policy_cuts_the_connection_it_no_longer_allows_and_no_other() {
    let node = start();
    let (_web, _cache) = (web(&node), cache(&node));
    let mut agent = Puppet::start(&node);
    assert_eq!(
        agent.tell(json!(["open_tcp", "c", "cache", 6379]))["open"],
        "c"
    );
    assert_eq!(
        agent.tell(json!(["open_tcp", "w", "web", 8080]))["open"],
        "w"
    );
    assert_eq!(agent.tell(json!(["say", "c", "hello"]))["heard"], "hello");
    node.reload("policy.yaml", &policy_without_cache()).unwrap();
    node.wait_for_flow(|r| {
        r.kind == RecordKind::Close && r.destination == "cache" && r.reason.contains("generation")
    })
    .unwrap();
    let cut = agent.tell(json!(["say", "c", "again"]));
    assert!(cut["error"].is_string() || cut["heard"] == "", "{cut}");
    let heard = agent.tell(json!([
        "say",
        "w",
        "GET /items/9 HTTP/1.1\r\nHost: web\r\n\r\n"
    ]));
    assert!(
        heard["heard"]
            .as_str()
            .is_some_and(|text| text.contains("200")),
        "{heard}"
    );
    assert!(agent.tell(json!(["open_tcp", "d", "cache", 6379]))["error"].is_string());
}

#[test]
fn a_rejected_policy_changes_nothing_and_says_so() {
    let node = start();
    let _web = web(&node);
    let before = node.generation().unwrap();
    node.write(
        "policy.yaml",
        &e2e_support::POLICY.replace("mode: enforce", "mode: enforce\n  colour: blue"),
    )
    .unwrap();
    node.await_that("the rejection", |node| {
        Ok((node.status()?.0 == 5).then_some(()))
    })
    .unwrap();
    assert_eq!(node.generation().unwrap(), before);
    assert!(
        node.messages().contains("policy.yaml:8:") && node.messages().contains("colour"),
        "{}",
        node.messages()
    );
    assert_eq!(curl(&node, &["http://web:8080/items/1"]).2, 200);
    node.reload("policy.yaml", &policy_without_cache()).unwrap();
    assert_eq!(node.status().unwrap().0, 0);
}

#[test]
fn while_the_enforcer_is_away_nothing_passes_and_nothing_is_replayed_later() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let service = web(&node);
        let mut agent = Puppet::start(&node);
        assert_eq!(agent.tell(json!(["get", "POST", "/items"]))["status"], 200);
        let address = agent.tell(json!(["get", "GET", "/items/1"]));
        assert_eq!(address["status"], 200);
        let head = node.head().unwrap();

        // The supervisor stands still, so that the enforcer stays away for as long as this test wants.
        let enforcer = node.enforcer().unwrap();
        node.host().signal("STOP", node.pid()).unwrap();
        node.host().signal("KILL", enforcer).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..5 {
            let tried = agent.tell(json!([
                "tcp",
                "100.64.99.99",
                8080,
                1,
                "POST /items HTTP/1.1\r\nHost: web\r\n\r\n"
            ]));
            assert_eq!(tried["reached"], 0, "{caller:?}");
        }
        assert!(
            agent.tell(json!(["get", "POST", "/items"]))["error"].is_string(),
            "{caller:?}"
        );
        node.host().signal("CONT", node.pid()).unwrap();

        node.await_enforcer_after(enforcer).unwrap();
        let away = |r: &ringfence_model::FlowRecord| {
            r.seq >= head
                && r.kind == RecordKind::Connection
                && r.original_destination == "100.64.99.99:8080"
        };
        node.await_that("five records", |node| {
            Ok((attempts(&node.flows_where(0, away)?) == 5).then_some(()))
        })
        .unwrap();
        let records = node.flows_where(0, away).unwrap();
        assert!(
            records
                .iter()
                .all(|r| r.outcome == Outcome::Deny && r.reason.contains("away")),
            "{records:?}"
        );

        // The same process, never restarted, works again; what it posted meanwhile has not arrived.
        let told = agent.tell(json!(["get", "POST", "/items"]));
        assert_eq!(told["status"], 200, "{caller:?} {told}");
        assert!(
            told["body"].as_str().unwrap().contains("\"items\": 2"),
            "{caller:?} {told}"
        );
        let posts = || service.process.stdout().matches("POST").count();
        // What the service prints comes a little later than what it answers.
        node.await_that("both posts", |_| Ok((posts() >= 2).then_some(())))
            .unwrap();
        assert_eq!(posts(), 2, "{}", service.process.stdout());
    }
}

#[test]
fn the_enforcer_is_back_within_a_second() {
    let node = start();
    let _web = web(&node);
    let mut agent = Puppet::start(&node);
    for _ in 0..3 {
        let before = node.kill_enforcer().unwrap();
        let since = Instant::now();
        node.await_enforcer_after(before).unwrap();
        assert!(
            since.elapsed() < Duration::from_secs(3),
            "{:?}",
            since.elapsed()
        );
        assert_eq!(agent.tell(json!(["get", "GET", "/items/1"]))["status"], 200);
    }
    assert_eq!(node.status().unwrap().1["enforcer"]["restarts"], 3);
}

#[test]
fn kill_9_of_the_node_denies_and_a_new_one_takes_over() {
    let mut node = start();
    let _web = web(&node);
    let mut agent = Puppet::start(&node);
    assert_eq!(agent.tell(json!(["get", "GET", "/items/1"]))["status"], 200);
    node.kill().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(agent.tell(json!(["get", "GET", "/items/1"]))["error"].is_string());
    node.up().unwrap();
    node.await_that("both compartments again", |node| {
        let status = node.status()?.1;
        let armed = status["workloads"]
            .as_array()
            .map(|all| all.iter().filter(|w| w["armed"] == true).count());
        Ok((armed == Some(2)).then_some(()))
    })
    .unwrap();
    assert_eq!(agent.tell(json!(["get", "GET", "/items/1"]))["status"], 200);
}

#[test]
fn kill_9_of_the_launcher_ends_the_workload_and_leaves_nothing() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let before = node.host().processes().unwrap();
        let mut running = node
            .workload("agent")
            .spawn(&[
                "sh",
                "-c",
                "setsid sleep 9177 & echo ready; exec sleep 9178",
            ])
            .unwrap();
        running.wait_until_it_says("ready").unwrap();
        assert!(
            grown(&node, &before)
                .iter()
                .any(|(_, line)| line.contains("sleep 9178"))
        );
        node.host().signal("KILL", running.pid).unwrap();
        until_gone(&node, &before);
        node.await_that("the end of the compartment", |node| {
            Ok(node.status()?.1["workloads"]
                .as_array()
                .is_some_and(Vec::is_empty)
                .then_some(()))
        })
        .unwrap();
        let mounts = node
            .host()
            .run_as_root(["cat", "/proc/self/mountinfo"])
            .unwrap()
            .ok()
            .stdout;
        assert!(!mounts.contains("/work"), "{mounts}");
    }
}

#[test]
fn a_stopped_node_leaves_only_what_others_started() {
    let mut node = start();
    let output = node.stop().unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    let left = node.host().processes().unwrap();
    assert!(
        !left.iter().any(|(_, line)| line.contains("ringfence")),
        "{left:?}"
    );
}

#[test]
fn a_full_log_denies_until_there_is_room_again() {
    let node = options().state_size("6m").start().unwrap();
    let service = web(&node);
    let mut agent = Puppet::start(&node);
    assert_eq!(agent.tell(json!(["get", "GET", "/items/1"]))["status"], 200);
    let fill = node.state().join("fill").display().to_string();
    let filled = node
        .host()
        .run(["dd", "if=/dev/zero", &format!("of={fill}"), "bs=4k"])
        .unwrap();
    assert!(filled.stderr.contains("No space left"), "{filled:?}");

    // What was set aside beforehand is used up first.
    let told = agent.tell(json!(["until_refused", "/items/1", 40_000]));
    assert!(told["served"].as_u64().unwrap() < 40_000, "{told}");
    let (code, status) = node.status().unwrap();
    assert_eq!(code, 5, "{status}");
    assert!(status["log"]["trouble"].is_string(), "{status}");
    let arrived = service.process.stdout().matches("GET").count();
    for _ in 0..5 {
        assert_ne!(agent.tell(json!(["get", "GET", "/items/1"]))["status"], 200);
    }
    assert_eq!(
        service.process.stdout().matches("GET").count(),
        arrived,
        "a request without a record arrived"
    );

    node.host().run(["rm", &fill]).unwrap().ok();
    let deadline = Instant::now() + Duration::from_secs(10);
    while agent.tell(json!(["get", "GET", "/items/1"]))["status"] != 200 {
        assert!(
            Instant::now() < deadline,
            "it does not recover: {}",
            node.status().unwrap().1
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // Signing, which had no room either, is tried again within a second.
    while node.status().unwrap().0 != 0 {
        assert!(Instant::now() < deadline, "{}", node.status().unwrap().1);
        std::thread::sleep(Duration::from_millis(50));
    }
    // Each request that arrived has its record.
    let recorded = node
        .flows_where(0, |r| {
            r.kind == RecordKind::Operation && r.protocol == "http" && r.outcome == Outcome::Allow
        })
        .unwrap();
    assert_eq!(
        recorded.len(),
        service.process.stdout().matches("GET").count()
    );
}
