//! `ringfence audit top`, `services`, `agents`, `unused` and `sql` as a user runs them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use prost::Message;
use ringfence_archive::{file_name, seal};
use ringfence_audit::Log;
use ringfence_history::SEALED;
use ringfence_model::flow::{Flow, Kind, Outcome};
use serde_json::Value;
use tempfile::TempDir;

const TIME: u64 = 1_790_000_000_000_000_000;

fn flow(number: u64, source: &str, destination: &str, kind: Kind, outcome: Outcome) -> Flow {
    Flow {
        schema: 1,
        time_ns: TIME + number * 1_000_000_000,
        node: "node-1".into(),
        side: 3,
        kind: kind.into(),
        count: 1,
        source: source.into(),
        destination: destination.into(),
        protocol: "http".into(),
        operation: "connect".into(),
        outcome: outcome.into(),
        ..Flow::default()
    }
}

/// Two agents, a library that one may read and write, and one who tries payments.
fn bank() -> Vec<Flow> {
    use Kind::{Close, Connection, Event, Operation, Wall};
    use Outcome::{Allow, Deny};
    let operation = |number, source, destination, operation: &str, outcome| Flow {
        operation: operation.into(),
        ..flow(number, source, destination, Operation, outcome)
    };
    let denied = |number, count, reason: &str| Flow {
        count,
        reason: reason.into(),
        ..flow(number, "assistant", "payments", Connection, Deny)
    };
    vec![
        Flow {
            operation: "node started".into(),
            ..flow(0, "", "", Event, Allow)
        },
        flow(1, "assistant", "library", Connection, Allow),
        operation(2, "assistant", "library", "GET /books/1", Allow),
        operation(3, "assistant", "library", "DELETE /books/1", Deny),
        Flow {
            bytes_sent: 100,
            bytes_received: 2_000,
            ..flow(4, "assistant", "library", Close, Allow)
        },
        denied(5, 1, "no rule of policy assistant names service payments"),
        denied(6, 40, "it is quarantined"),
        denied(7, 1, "no rule of policy assistant names service payments"),
        Flow {
            operation: "socket AF_PACKET".into(),
            ..flow(8, "reporting", "", Wall, Deny)
        },
        operation(9, "reporting", "library", "GET /catalogue", Allow),
        operation(
            10,
            "reporting",
            "library",
            "PUT /catalogue/a",
            Outcome::WouldDeny,
        ),
        operation(11, "reporting", "library", "GET /search", Outcome::Error),
    ]
}

/// A state directory with these records, of which those in `sealed` are sealed and the last ones are not.
fn state(flows: &[Flow], sealed: Range<usize>) -> TempDir {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("log");
    let log = Log::open(&directory).unwrap();
    for flow in flows {
        log.record(flow).unwrap();
    }
    if !sealed.is_empty() {
        fs::create_dir(directory.join(SEALED)).unwrap();
        let first = sealed.start as u64;
        let path = directory.join(SEALED).join(file_name(first));
        seal(
            first,
            flows[sealed].iter().map(Message::encode_to_vec),
            [0; 32],
            &path,
        )
        .unwrap();
    }
    state
}

fn audit(state: &Path, verb: &str, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["audit", verb, "--state"])
        .arg(state)
        .args(words)
        .env_remove("RINGFENCE_CONFIG")
        .output()
        .unwrap()
}

fn text(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn rows(state: &Path, verb: &str, words: &[&str]) -> Vec<Value> {
    let words = [words, &["-o", "json"]].concat();
    text(audit(state, verb, &words))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn top_has_the_busiest_pairs_first_and_counts_what_is_folded_in_full() {
    for sealed in [0..0, 0..6, 0..12] {
        let state = state(&bank(), sealed);
        assert_eq!(
            text(audit(state.path(), "top", &["-n", "3"])),
            " SOURCE     DESTINATION  ATTEMPTS  DENIED  SENT  RECEIVED  LAST\n \
              assistant  payments           42      42     0         0  2026-09-21T14:13:27.000Z\n \
              assistant  library             3       1   100      2000  2026-09-21T14:13:24.000Z\n \
              reporting  library             3       0     0         0  2026-09-21T14:13:31.000Z\n"
        );
        let all = rows(state.path(), "top", &[]);
        assert_eq!(all.len(), 4);
        let attempts: u64 = all
            .iter()
            .map(|row| row["attempts"].as_u64().unwrap())
            .sum();
        assert_eq!(attempts, 49);
        let [reporting] = all
            .iter()
            .filter(|row| row["destination"] == "library" && row["source"] == "reporting")
            .collect::<Vec<_>>()[..]
        else {
            panic!("{all:?}");
        };
        assert_eq!(
            (
                reporting["wouldDeny"].as_u64(),
                reporting["errors"].as_u64()
            ),
            (Some(1), Some(1))
        );
        assert_eq!(reporting["first"], "2026-09-21T14:13:29.000000000Z");
    }
}

#[test]
fn services_and_agents_say_who_and_why() {
    let state = state(&bank(), 0..7);
    let services = text(audit(state.path(), "services", &["payments"]));
    assert_eq!(
        services,
        " DESTINATION  SOURCE     ATTEMPTS  DENIED  LAST                      WHY\n \
          payments     assistant        42      42  2026-09-21T14:13:27.000Z  it is quarantined\n"
    );
    let denials = &rows(state.path(), "services", &["payments"])[0]["denials"];
    assert_eq!(denials[0]["count"], 40);
    assert_eq!(
        denials[1]["reason"],
        "no rule of policy assistant names service payments"
    );
    assert_eq!(denials[1]["count"], 2);
    // Nobody's addresses are no service; they are in what an agent tried.
    assert!(
        rows(state.path(), "services", &[])
            .iter()
            .all(|row| row["destination"] != "")
    );
    let agents = text(audit(state.path(), "agents", &["reporting"]));
    assert_eq!(
        agents,
        " SOURCE     DESTINATION  ATTEMPTS  DENIED  LAST                      WHY\n \
          reporting  library             3       0  2026-09-21T14:13:31.000Z  -\n \
          reporting  -                   1       1  2026-09-21T14:13:28.000Z  -\n"
    );
    let sources: Vec<Value> = rows(state.path(), "agents", &[])
        .iter()
        .map(|row| row["source"].clone())
        .collect();
    assert_eq!(
        sources,
        ["assistant", "assistant", "reporting", "reporting"]
    );
    for (verb, as_what) in [("services", "called"), ("agents", "a caller")] {
        let output = audit(state.path(), verb, &["asistant"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(
            said.contains(&format!("has `asistant` as {as_what}")),
            "{said}"
        );
    }
}

#[test]
fn a_stretch_of_time_leaves_out_the_rest() {
    let state = state(&bank(), 0..6);
    let words = [
        "--since",
        "2026-09-21T14:13:22Z",
        "--until",
        "2026-09-21T14:13:26Z",
    ];
    let pairs: BTreeMap<String, u64> = rows(state.path(), "top", &words)
        .iter()
        .map(|row| {
            (
                row["destination"].as_str().unwrap().to_owned(),
                row["attempts"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        pairs,
        BTreeMap::from([("library".into(), 2), ("payments".into(), 1)])
    );
    let turned = audit(
        state.path(),
        "top",
        &["--since", "2026-09-22", "--until", "2026-09-21"],
    );
    assert_eq!(turned.status.code(), Some(2));
}

#[test]
fn reasons_beyond_the_bound_are_counted_together() {
    let flows: Vec<Flow> = (0..100)
        .map(|number| Flow {
            reason: format!("reason {number}"),
            ..flow(
                number,
                "assistant",
                "payments",
                Kind::Operation,
                Outcome::Deny,
            )
        })
        .collect();
    let state = state(&flows, 0..50);
    let denials = &rows(state.path(), "agents", &[])[0]["denials"];
    let denials = denials.as_array().unwrap();
    assert_eq!(denials.len(), 65);
    assert_eq!(denials[0]["reason"], "other reasons");
    assert_eq!(denials[0]["count"], 36);
}

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: library }
spec: { protocol: http, port: 8000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: ledger }
spec: { protocol: tcp, port: 5432 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: assistant }
spec: { purpose: reads }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: reporting }
spec: { purpose: counts }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: assistant }
spec:
  agent: assistant
  owner: team
  initiate:
    - { service: library, operations: [\"GET /books/*\", \"DELETE /books/*\", \"POST /books\"] }
    - { service: ledger, operations: [connect] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: reporting }
spec:
  agent: reporting
  owner: team
  initiate:
    - { service: library, operations: [\"GET /catalogue/**\", \"PUT /catalogue/*\", \"GET /search\"] }
    - { service: ledger, operations: [connect] }
";

#[test]
fn unused_is_what_policy_allows_and_no_record_shows() {
    let config = tempfile::tempdir().unwrap();
    fs::write(config.path().join("estate.yaml"), ESTATE).unwrap();
    let mut flows = bank();
    flows.push(Flow {
        protocol: "tcp".into(),
        ..flow(12, "reporting", "ledger", Kind::Connection, Outcome::Allow)
    });
    for sealed in [0..0, 0..10] {
        let state = state(&flows, sealed);
        let output = audit(
            state.path(),
            "unused",
            &["--config", config.path().to_str().unwrap(), "-o", "json"],
        );
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        let mut unused: Vec<String> = text(output)
            .lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).unwrap();
                format!(
                    "{} {} {}",
                    row["from"].as_str().unwrap(),
                    row["to"].as_str().unwrap(),
                    row["operation"].as_str().unwrap()
                )
            })
            .collect();
        unused.sort();
        // Refused, or let through by a soft policy alone: not used. Allowed, and failed behind it: used.
        assert_eq!(
            unused,
            [
                "assistant ledger connect",
                "assistant library DELETE /books/*",
                "assistant library POST /books",
                "reporting library PUT /catalogue/*",
            ]
        );
        assert!(
            said.contains("4 of 8 permissions were not used in the records from 2026-09-21T14:13:20Z to 2026-09-21T14:13:32Z"),
            "{said}"
        );
    }
}

#[test]
fn no_log_is_said_with_the_fix() {
    let empty = tempfile::tempdir().unwrap();
    for verb in ["top", "services", "agents"] {
        let output = audit(empty.path(), verb, &[]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("there is no flow log in") && said.contains("--state"),
            "{said}"
        );
    }
}

/// The program alone in a directory, as it is where nobody built the other one.
fn alone() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(
        env!("CARGO_BIN_EXE_ringfence"),
        directory.path().join("ringfence"),
    )
    .unwrap();
    directory
}

fn sql(directory: &Path, path: &Path) -> Output {
    Command::new(directory.join("ringfence"))
        .args([
            "audit", "sql", "--state", "/nowhere", "-o", "csv", "--memory", "64", "SELECT 1",
        ])
        .env("PATH", path)
        .output()
        .unwrap()
}

#[test]
fn sql_says_how_to_get_the_program_that_answers() {
    let (directory, empty) = (alone(), tempfile::tempdir().unwrap());
    let output = sql(directory.path(), empty.path());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("ringfence-query, is not installed"), "{said}");
    assert!(said.contains("`make query`"), "{said}");
}

#[test]
fn sql_hands_the_question_over_beside_itself_or_in_the_path() {
    let script = "#!/bin/sh\nprintf '%s|' \"$0\" \"$@\"\nexit 7\n";
    let put = |directory: &Path| {
        let program = directory.join("ringfence-query");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    };
    let (directory, path) = (alone(), tempfile::tempdir().unwrap());
    let expected = |program: &Path| {
        format!(
            "{}|--log|/nowhere/log|--output|csv|--memory|64|--|SELECT 1|",
            program.display()
        )
    };
    let in_path = put(path.path());
    let output = sql(directory.path(), path.path());
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap()
        ),
        (Some(7), expected(&in_path))
    );
    let beside = put(directory.path());
    let output = sql(directory.path(), path.path());
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap()
        ),
        (Some(7), expected(&beside))
    );
}

#[test]
fn records_that_are_missing_between_others_are_told() {
    let directory = state(&bank(), 0..3);
    let log = directory.path().join("log");
    fs::remove_dir_all(log.join("hot")).unwrap();
    let later = bank()[6..].to_vec();
    let leaves = later.iter().map(Message::encode_to_vec);
    seal(6, leaves, [0; 32], &log.join(SEALED).join(file_name(6))).unwrap();
    let output = audit(directory.path(), "top", &[]);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.contains("records 3 to 5 are not in the log"), "{said}");
    assert!(text(output).contains("assistant"));
}
