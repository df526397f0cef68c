//! What a real node records of real traffic is sealed while it runs, read and verified as before, and pruned on an
//! operator's word.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::fs;
use std::path::{Path, PathBuf};

use e2e_support::{Puppet, options, web};
use ringfence_model::RecordKind;
use ringfence_testbed::{Caller, Node, Output};
use serde_json::{Value, json};

/// Requests that fill the first segment, by far.
const REQUESTS: u64 = 1500;

fn files(directory: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == end))
        .collect();
    files.sort();
    files
}

fn audit(node: &Node, verb: &str, arguments: &[&str]) -> Output {
    node.verb(&format!("audit {verb}"), arguments).unwrap()
}

fn verifies(node: &Node) -> Value {
    let output = audit(node, "verify", &["-o", "json"]);
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn a_log_is_sealed_while_it_runs_and_pruned_on_an_operators_word() {
    for caller in Caller::available() {
        let mut node = options().caller(caller).start().unwrap();
        let service = web(&node);
        let mut agent = Puppet::start(&node);
        let path = format!("/items/{}", "x".repeat(900));
        let told = agent.tell(json!(["until_refused", path, REQUESTS]));
        assert_eq!(told["served"], REQUESTS, "{told}");

        let (hot, sealed) = (
            node.state().join("log/hot"),
            node.state().join("log/sealed"),
        );
        node.await_that("a sealed file, and its segment gone", |_| {
            let first = hot.join("00000000000000000000.seg");
            Ok((!files(&sealed, "parquet").is_empty() && !first.exists()).then_some(()))
        })
        .unwrap();
        let (code, status) = node.status().unwrap();
        assert_eq!((code, &status["log"]["unsealed"]), (0, &Value::Null));
        assert!(status["log"]["sealed"].as_u64().unwrap() > 500, "{status}");

        let flows = node.flows().unwrap();
        for (number, record) in flows.iter().enumerate() {
            assert_eq!(record.seq, number as u64);
        }
        let served = flows
            .iter()
            .filter(|r| r.operation.starts_with("GET /items/x"));
        assert_eq!(served.count() as u64, REQUESTS);
        assert_eq!(
            service.process.stdout().matches("GET /items/x").count() as u64,
            REQUESTS
        );
        let report = verifies(&node);
        assert!(report["sealedFiles"].as_u64() >= Some(1), "{report}");
        let export = audit(
            &node,
            "export",
            &["--format", "json", "--from", "3", "--to", "9"],
        );
        assert_eq!(export.stdout.lines().count(), 7, "{}", export.stderr);
        let proof = audit(&node, "proof", &["5"]);
        assert_eq!(proof.code, Some(0), "{}", proof.stderr);

        // A copy of a sealed file is read like one of a segment.
        let file = files(&sealed, "parquet").remove(0);
        let input = file.display().to_string();
        let copied = node.host().run_as_root([
            node.binary().to_str().unwrap(),
            "observe",
            "-o",
            "json",
            "-i",
            &input,
        ]);
        let copied = copied.unwrap();
        assert!(
            copied.stdout.starts_with(r#"{"seq":0,"#),
            "{}",
            copied.stderr
        );

        let dry = audit(
            &node,
            "prune",
            &["--keep-size", "0B", "--dry-run", "-o", "json"],
        );
        let dry: Value = serde_json::from_str(&dry.stdout).unwrap();
        assert_eq!(
            (dry["first"].as_u64(), dry["keptFiles"].as_u64()),
            (Some(0), Some(0))
        );
        assert!(file.exists());
        let kept = audit(&node, "prune", &["--keep", "1h"]);
        assert_eq!(kept.code, Some(0), "{}", kept.stderr);
        assert!(kept.stdout.contains("nothing"), "{}", kept.stdout);
        let pruned = audit(&node, "prune", &["--keep-size", "0B"]);
        assert_eq!(pruned.code, Some(0), "{}", pruned.stderr);
        assert!(!file.exists());
        let event = node
            .wait_for_flow(|r| r.kind == RecordKind::Event && r.operation == "prune")
            .unwrap();
        let uid = if caller == Caller::Root {
            "(uid 0)"
        } else {
            "uid "
        };
        assert!(
            event.reason.starts_with("records 0 to "),
            "{}",
            event.reason
        );
        assert!(event.reason.contains(uid), "{}", event.reason);
        let flows = node.flows().unwrap();
        assert_eq!(flows[0].seq, dry["last"].as_u64().unwrap() + 1);
        let report = verifies(&node);
        assert_eq!(report["pruned"]["before"], flows[0].seq);
        let place = node.host().directory("kept").unwrap().join("5.tlog-proof");
        fs::write(&place, &proof.stdout).unwrap();
        node.host().own(&place).unwrap();
        let holds = audit(&node, "proof", &["--check", place.to_str().unwrap()]);
        assert_eq!(holds.code, Some(0), "{}", holds.stderr);
        let gone = audit(&node, "proof", &["5"]);
        assert_eq!(gone.code, Some(1), "{}", gone.stdout);
        assert!(gone.stderr.contains("pruned"), "{}", gone.stderr);

        // A second run goes on behind it.
        drop((agent, service));
        let next = flows.last().unwrap().seq;
        node.stop().unwrap();
        let refused = audit(&node, "prune", &["--keep", "1h"]);
        assert_eq!(refused.code, Some(1), "{}", refused.stdout);
        assert!(
            refused.stderr.contains("no node is running"),
            "{}",
            refused.stderr
        );
        verifies(&node);
        node.up().unwrap();
        let flows = node.flows().unwrap();
        assert!(flows.last().unwrap().seq > next);
        verifies(&node);
    }
}

#[test]
fn a_node_that_cannot_seal_says_so_and_goes_on_recording() {
    let node = options().start().unwrap();
    let _service = web(&node);
    let mut agent = Puppet::start(&node);
    // A file stands where the directory of sealed files belongs.
    fs::write(node.state().join("log/sealed"), b"in the way").unwrap();
    let path = format!("/items/{}", "x".repeat(900));
    let told = agent.tell(json!(["until_refused", path, REQUESTS]));
    assert_eq!(told["served"], REQUESTS, "{told}");
    let trouble = node
        .await_that("the trouble", |node| {
            let (code, status) = node.status()?;
            let unsealed = status["log"]["unsealed"].as_str().map(str::to_owned);
            Ok(unsealed.map(|unsealed| (code, unsealed, status)))
        })
        .unwrap();
    assert_eq!(trouble.0, 5, "degraded: {}", trouble.2);
    assert!(trouble.1.contains("log/sealed"), "{}", trouble.1);
    let told = agent.tell(json!(["get", "GET", "/items/after"]));
    assert_eq!(told["status"], 200);
    fs::remove_file(node.state().join("log/sealed")).unwrap();
    node.await_that("the end of the trouble", |node| {
        let (code, status) = node.status()?;
        Ok((code == 0 && status["log"]["sealed"].as_u64() > Some(500)).then_some(()))
    })
    .unwrap();
    verifies(&node);
}
