//! Policy that changes while a workload starts: between the grant and its first instruction it is held, and what is in
//! force when it goes on is what it meets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{BINARY, POLICY, PUPPET, PYTHON, Puppet, SERVICES, start_as, web, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Caller, Node, NodeOptions};
use serde_json::json;

const TAKEN_UP: Duration = Duration::from_millis(1500);

/// Starts the agent, and changes policy while its launcher waits for the enforcer to arm: that one stands still.
fn started_across(node: &Node, file: &str, text: &str) -> Puppet {
    let enforcer = node.enforcer().unwrap();
    let before = node.generation().unwrap();
    node.host().signal("STOP", enforcer).unwrap();
    let path = workdir(node, "work-agent", "puppet.py", PUPPET);
    let launch = node.workload("agent").workdir(&path).open_stdin();
    let mut running = launch.spawn(&[PYTHON, "-u", "puppet.py"]).unwrap();
    let granted = |node: &Node| {
        let status = node.status()?.1;
        let workloads = status["workloads"].as_array().cloned().unwrap_or_default();
        let agent = workloads.iter().find(|it| it["name"] == "agent");
        Ok(agent.map(|agent| agent["armed"].as_bool()))
    };
    let armed = node.await_that("the grant", granted).unwrap();
    assert_eq!(armed, Some(false), "it waits for its doors");
    assert!(!running.process.stdout().contains("ready"));
    node.write(file, text).unwrap();
    // For the node to settle on it. Were that too short, the change would come a little after the start.
    std::thread::sleep(TAKEN_UP);
    node.host().signal("CONT", enforcer).unwrap();
    running.wait_until_it_says("ready").unwrap();
    node.await_that("the new generation", |node| {
        Ok((node.generation()? > before).then_some(()))
    })
    .unwrap();
    Puppet::of(running)
}

#[test]
fn a_permission_that_goes_while_a_workload_starts_is_gone_when_it_runs() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let service = web(&node);
        let narrowed = POLICY
            .replace(r#""GET /**", "HEAD /**", "#, "")
            .replace(r#"allow: "GET /items/1""#, r#"deny: "GET /items/1""#);
        let mut agent = started_across(&node, "policy.yaml", &narrowed);
        let told = agent.tell(json!(["get", "GET", "/items/1"]));
        assert_eq!(told["status"], 403, "{caller:?} {told}");
        // The rest of its policy is in force.
        let told = agent.tell(json!(["get", "POST", "/items"]));
        assert_eq!(told["status"], 200, "{caller:?} {told}");
        assert!(!service.process.stdout().contains("GET"));
        let denied = node.wait_for_flow(|flow| {
            flow.kind == RecordKind::Operation && flow.outcome == Outcome::Deny
        });
        assert!(denied.unwrap().generation > 1);
    }
}

#[test]
fn an_agent_that_is_removed_while_it_starts_reaches_nothing() {
    for caller in Caller::available() {
        let whole = format!("{SERVICES}---{POLICY}");
        let node = NodeOptions::new(BINARY).caller(caller);
        let node = node.file("estate.yaml", &whole).start().unwrap();
        let service = web(&node);
        let (services, _) = SERVICES.rsplit_once("---\n").unwrap();
        let mut agent = started_across(&node, "estate.yaml", services);
        let told = agent.tell(json!(["get", "GET", "/items/1"]));
        assert!(told["error"].is_string(), "{caller:?} {told}");
        let told = agent.tell(json!(["tcp", "100.64.0.1", 8080]));
        assert_eq!(told["reached"], 0, "{caller:?} {told}");
        assert!(!service.process.stdout().contains("GET"));
    }
}
