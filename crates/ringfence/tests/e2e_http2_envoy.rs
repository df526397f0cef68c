//! gRPC through Envoy behind a door: every call is decided by its name, and all of it arrives as it was sent, messages,
//! trailers and ends, whichever way they go.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;
#[path = "e2e_http2/envoy.rs"]
mod envoy;

use e2e_support::{BINARY, PYTHON, Puppet, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::NodeOptions;
use serde_json::json;

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: calls }
spec: { protocol: grpc, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: calls }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  initiate:
    - { service: calls, operations: ["shop.v1.Orders/*"] }
"#;
const CALLS: &str = include_str!("e2e_http2/calls.py");
const CALLER: &str = include_str!("e2e_http2/caller.py");

#[test]
fn calls_pass_through_envoy_as_they_are_and_those_that_may_not_never_get_there() {
    if envoy::program().is_none() {
        eprintln!("skipped: {}", envoy::MISSING);
        return;
    }
    let node = NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .start()
        .unwrap();
    let path = workdir(&node, "work-calls", "calls.py", CALLS);
    workdir(
        &node,
        "work-calls",
        "envoy.yaml",
        &envoy::conf(50_052, true),
    );
    envoy::put_into(&path);
    let open = |port: u16| {
        format!(
            "while ! {PYTHON} -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))' 2>/dev/null; do sleep 0.1; done"
        )
    };
    let (behind, before) = (open(50_052), open(8080));
    let script = format!(
        "{PYTHON} -u calls.py 50052 & {behind}; {} & {before}; echo the gateway is there; wait",
        envoy::COMMAND
    );
    let launch = node.workload("calls").workdir(&path);
    let mut service = launch.spawn(&["sh", "-c", &script]).unwrap();
    service.wait_until_it_says("the gateway is there").unwrap();
    let path = workdir(
        &node,
        "work-agent",
        "caller.py",
        &CALLER.replace("calls:50051", "calls:8080"),
    );
    let launch = node.workload("agent").workdir(&path).open_stdin();
    let mut running = launch.spawn(&[PYTHON, "-u", "caller.py"]).unwrap();
    running.wait_until_it_says("ready").unwrap();
    let mut agent = Puppet::of(running);

    assert_eq!(
        agent.tell(json!(["one", "/shop.v1.Orders/Get", "7"])),
        json!({"ok": "got 7"})
    );
    let long = "x".repeat(300_000);
    assert_eq!(
        agent.tell(json!(["one", "/shop.v1.Orders/Get", long])),
        json!({"ok": format!("got {long}")})
    );
    let row: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    assert_eq!(
        agent.tell(json!(["row", "/shop.v1.Orders/Row", 500])),
        json!({ "ok": row })
    );
    agent.tell(json!(["chat", "a", "/shop.v1.Orders/Chat"]));
    for text in ["1", "2"] {
        assert_eq!(
            agent.tell(json!(["say", "a", text])),
            json!({"ok": format!("heard {text}")})
        );
        let denied = agent.tell(json!(["one", "/shop.v1.Admin/Get", "x"]));
        assert_eq!(denied["code"], "PERMISSION_DENIED", "{denied}");
    }
    assert_eq!(agent.tell(json!(["say", "a", null])), json!({"end": "OK"}));
    let told = agent.tell(json!(["one", "/shop.v1.Orders/Fail", "x"]));
    assert_eq!(
        (&told["code"], &told["details"], &told["trailers"]["x-sum"]),
        (
            &json!("FAILED_PRECONDITION"),
            &json!("not now"),
            &json!("7")
        )
    );

    // The server behind it has heard what is on record as allowed, in this order, and nothing else.
    let allowed: Vec<String> = node
        .flows_where(0, |r| {
            r.kind == RecordKind::Operation && r.protocol == "grpc" && r.outcome == Outcome::Allow
        })
        .unwrap()
        .into_iter()
        .map(|r| r.operation)
        .collect();
    let heard = service.process.stdout();
    let heard: Vec<&str> = heard
        .lines()
        .filter_map(|line| line.strip_prefix('/'))
        .collect();
    assert_eq!(heard, allowed);
    assert_eq!(allowed.len(), 5, "{allowed:?}");
}
