//! The relay of HTTP/2 against RFC 9113, frame by frame, with an encoder and a service that others wrote. `scripts/h2spec` runs
//! the suite of that name in the same way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{BINARY, PYTHON, workdir};
use ringfence_testbed::NodeOptions;
use serde_json::Value;

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: web }
spec: { protocol: http2, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: breaks rules }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  initiate:
    - { service: web, operations: ["GET /**", "POST /**"] }
"#;
const CASES: &str = include_str!("e2e_http2/frames.py");
const SERVICE: &str = include_str!("e2e_http2/service.py");
/// So many cases there are at least; fewer, and the suite has broken off.
const CASES_LEAST: usize = 119;

#[test]
fn what_rfc_9113_forbids_is_refused_and_what_it_allows_passes() {
    let node = NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .start()
        .unwrap();
    let path = workdir(&node, "work-web", "service.py", SERVICE);
    let mut service = node
        .workload("web")
        .workdir(&path)
        .spawn(&[PYTHON, "-u", "service.py", "8080"])
        .unwrap();
    service.wait_until_it_says("web is serving").unwrap();
    let path = workdir(&node, "work-agent", "frames.py", CASES);
    let output = node
        .workload("agent")
        .workdir(&path)
        .limit(Duration::from_secs(600))
        .run(&[PYTHON, "-u", "frames.py", "web", "8080"])
        .unwrap()
        .ok();
    let told: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (cases, last) = told.split_at(told.len() - 1);
    assert!(cases.len() >= CASES_LEAST, "{}", cases.len());
    assert_eq!(last[0]["cases"], cases.len());
    let failed: Vec<String> = cases
        .iter()
        .filter(|case| case["outcome"] != "ok")
        .map(|case| format!("{}: {}", case["case"], case["outcome"]))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // What has to be whole before it is judged has reached nobody, and our own frames broke no rule of theirs.
    let heard = service.process.stdout();
    let evil: Vec<&str> = heard
        .lines()
        .filter(|line| line.contains("evil") && !line.contains("slow") || line.contains("broken"))
        .collect();
    assert!(evil.is_empty(), "{evil:#?}");
}
