//! What a real node records of real traffic leaves it as valid events, each once, while it happens and afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;
#[path = "../../ocsf/tests/support/valid.rs"]
mod valid;

use std::collections::BTreeSet;

use e2e_support::{Puppet, start, web};
use ringfence_testbed::Node;
use serde_json::{Value, json};

fn export(node: &Node, arguments: &[&str]) -> Vec<Value> {
    let output = node.verb("audit export", arguments).unwrap();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(valid::faults(&event), [""; 0], "{event:#}");
        event
    };
    output.stdout.lines().map(event).collect()
}

#[test]
fn real_traffic_leaves_as_valid_events_each_once() {
    let node = start();
    let service = web(&node);
    let mut agent = Puppet::start(&node);
    let followed = std::thread::scope(|scope| {
        let follower =
            scope.spawn(|| export(&node, &["--format", "ocsf", "--follow", "--until", "+10s"]));
        for _ in 0..25 {
            agent.tell(json!(["get", "GET", "/items/1"]));
        }
        agent.tell(json!(["get", "DELETE", "/items/1"]));
        agent.tell(json!(["get", "GET", "/", "vault"]));
        agent.tell(json!(["resolves", "c2.example"]));
        agent.tell(json!(["tcp", "10.0.0.1", 443, 5]));
        agent.tell(json!(["udp", "224.0.0.251", 5353, 1]));
        follower.join().unwrap()
    });
    node.wait_for_flow(|record| record.operation.contains("224.0.0.251"))
        .unwrap();
    let all = export(&node, &["--format", "ocsf"]);
    let records = node.flows().unwrap();
    let uids: BTreeSet<&str> = (all.iter())
        .map(|event| event["metadata"]["uid"].as_str().unwrap())
        .collect();
    assert_eq!(uids.len(), all.len(), "each has a name of its own");
    for (event, record) in all.iter().zip(&records) {
        assert_eq!(event["metadata"]["sequence"], record.seq);
        assert_eq!(event["unmapped"]["operation"], record.operation);
    }
    // Whoever follows gets the same, without a gap.
    assert!(followed.len() > 25, "{}", followed.len());
    assert_eq!(followed, all[..followed.len()]);

    let with = |class: u64, activity: &str, outcome: &str| -> u64 {
        let wanted = |event: &&Value| {
            event["class_uid"] == class
                && event["activity_name"] == activity
                && event["status_code"] == outcome
        };
        let counts = all.iter().filter(wanted).map(|it| it["count"].as_u64());
        counts.map(Option::unwrap).sum()
    };
    // As many as the service saw.
    let served = service.process.stdout().matches("GET").count() as u64;
    assert_eq!(served, 25);
    assert_eq!(with(4002, "Get", "allow"), served);
    assert_eq!(with(4002, "Delete", "deny"), 1);
    assert!(with(4001, "Refuse", "deny") >= 5);
    assert!(with(4003, "Traffic", "allow") >= 1);
    assert!(with(4003, "Traffic", "deny") >= 1);
    assert!(with(6002, "Start", "allow") >= 1);
    // Whatever the agent tried is the agent's: refused questions and what the kernel refused as well.
    for event in all
        .iter()
        .filter(|event| event["actor"]["app_name"] == "agent")
    {
        assert_eq!(event["ai_agent"]["name"], "agent", "{event:#}");
    }
    let walls = all
        .iter()
        .filter(|event| event["metadata"]["event_code"] == "wall");
    assert!(walls.count() >= 1);
}
