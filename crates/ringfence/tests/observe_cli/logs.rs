//! Logs that the log's own writer made, and `ringfence observe` on them.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ringfence_audit::Log;
use ringfence_model::FlowRecord;
use ringfence_model::flow::{Flow, Kind, Outcome, Side};
use tempfile::TempDir;

pub(crate) fn flow(source: &str, destination: &str, operation: &str, outcome: Outcome) -> Flow {
    Flow {
        schema: 1,
        time_ns: 1_795_000_000_123_456_789,
        node: "bank-1".into(),
        side: Side::Both.into(),
        kind: Kind::Operation.into(),
        connection: "b7-1".into(),
        count: 1,
        source: source.into(),
        destination: destination.into(),
        original_destination: "100.64.0.3:8080".into(),
        protocol: "http".into(),
        operation: operation.into(),
        outcome: outcome.into(),
        reason: "no rule of policy customer-service names service payments".into(),
        rule: "policies.yaml:12".into(),
        generation: 3,
        mode: "enforce".into(),
        ..Flow::default()
    }
}

/// A state directory as a node leaves it, with these records.
pub(crate) fn state(flows: &[Flow]) -> (TempDir, Log) {
    let state = tempfile::tempdir().unwrap();
    let log = Log::open(&state.path().join("log")).unwrap();
    for flow in flows {
        log.record(flow).unwrap();
    }
    (state, log)
}

/// The first segment of the log of a node with this state.
pub(crate) fn segment(state: &Path) -> PathBuf {
    ringfence_audit::hot_directory(&state.join("log")).join("00000000000000000000.seg")
}

/// Where each slot of a segment begins.
pub(crate) fn slots(segment: &[u8]) -> Vec<usize> {
    let mut at = 64;
    let mut slots = Vec::new();
    loop {
        let length = usize::from(segment[at]) | usize::from(segment[at + 1]) << 8;
        if length == 0 {
            return slots;
        }
        slots.push(at);
        at += (8 + length).next_multiple_of(8);
    }
}

pub(crate) fn bank() -> (TempDir, Log) {
    state(&[
        flow(
            "customer-service",
            "customer-data",
            "GET /customers/1",
            Outcome::Allow,
        ),
        flow(
            "customer-service",
            "payments",
            "POST /v1/payments",
            Outcome::Deny,
        ),
        flow(
            "reporting",
            "customer-data",
            "GET /customers/2",
            Outcome::WouldDeny,
        ),
        flow("customer-service", "", "connect", Outcome::Deny),
        flow("reporting", "payments", "GET /v1/totals", Outcome::Error),
    ])
}

pub(crate) fn command(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.arg("observe").arg("--state").arg(state).args(args);
    command
}

pub(crate) fn observe(state: &Path, args: &[&str]) -> Output {
    command(state, args).output().unwrap()
}

pub(crate) fn records(output: &Output) -> Vec<FlowRecord> {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn seqs(state: &Path, args: &[&str]) -> Vec<u64> {
    let mut all = vec!["-o", "json"];
    all.extend(args);
    records(&observe(state, &all))
        .iter()
        .map(|record| record.seq)
        .collect()
}

/// What `reading` prints while two records are added to the log for each line that it has printed: `None` when it has not come to an
/// end after ten times the records that were there.
pub(crate) fn lines_while_it_grows(
    reading: &mut Command,
    log: &Log,
    there: usize,
) -> Option<usize> {
    let mut child = reading.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut printed = 0;
    while lines.next().transpose().unwrap().is_some() {
        printed += 1;
        if printed > 10 * there {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        for _ in 0..2 {
            log.record(&flow("flood", "payments", "GET /", Outcome::Allow))
                .unwrap();
        }
    }
    assert!(child.wait().unwrap().success());
    Some(printed)
}
