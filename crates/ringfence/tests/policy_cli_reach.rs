//! `ringfence policy test`, `list` and `schema` as a user runs them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod policy_cli_support;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use policy_cli_support::{estate, lines, policy, stdout};

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: library }
spec: { protocol: http, port: 80, receive: [{ agent: assistant, operations: ["GET /**", "PUT /books/*"] }] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: ledger }
spec: { protocol: tcp, port: 5432 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: assistant }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: assistant }
spec:
  agent: assistant
  initiate:
    - service: library
      operations: ["GET /books/*", { allow: "PUT /books/{id}", when: "-1 < 0 && task == 'a,\"b'" }]
    - service: ledger
      operations: [connect]
  tests:
    - { to: library, allow: "GET /books/1" }
    - { to: library, deny: "DELETE /books/1" }
---
apiVersion: ringfence.dev/v1alpha1
kind: Test
metadata: { name: extra }
spec: { from: assistant, to: ledger, allow: connect }
"#;

#[test]
fn tells_how_every_test_does() {
    let output = policy("test", &estate(ESTATE), &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stdout(&output),
        "ok    policy assistant: assistant → library : GET /books/1 allow\n\
         ok    policy assistant: assistant → library : DELETE /books/1 deny\n\
         ok    Test extra: assistant → ledger : connect allow\n\
         3 tests: 3 passed, 0 failed\n"
    );
}

#[test]
fn a_failing_test_is_told_with_its_place_and_exit_3_though_nothing_loads() {
    let root = estate(&ESTATE.replace("deny: \"DELETE", "deny: \"GET"));
    let output = policy("test", &root, &[]);
    assert_eq!(output.status.code(), Some(3));
    let said = stdout(&output);
    assert!(
        said.contains("FAIL  policy assistant: assistant → library : GET /books/1 deny\n      --> estate.yaml:28:28\n"),
        "{said}"
    );
    assert!(
        said.contains("= help: the rule is at estate.yaml:23"),
        "{said}"
    );
    assert!(said.ends_with("3 tests: 2 passed, 1 failed\n"), "{said}");

    let found = lines(&policy("test", &root, &["-o", "json"]));
    let passed: Vec<bool> = found
        .iter()
        .map(|line| line["passed"].as_bool().unwrap())
        .collect();
    assert_eq!(passed, [true, false, true]);
    assert_eq!(found[1]["expected"], "deny");
    assert_eq!(found[1]["at"]["line"], 28);
    assert!(found[0]["help"].is_null() && found[1]["help"].is_string());
}

#[test]
fn a_filter_chooses_and_one_that_chooses_nothing_is_an_error() {
    let root = estate(&ESTATE.replace("deny: \"DELETE", "deny: \"GET"));
    let output = policy("test", &root, &["--filter", "ledger"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).ends_with("1 test: 1 passed, 0 failed\n"));
    assert_eq!(
        policy("test", &root, &["--filter", "legder"]).status.code(),
        Some(1)
    );
    let none = estate("apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {name: a}\n");
    let output = policy("test", &none, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are no tests"));
    let broken = estate("kind: [");
    assert_eq!(policy("test", &broken, &[]).status.code(), Some(1));
}

/// Read by a parser that we did not write.
#[test]
fn junit_is_well_formed_and_counts_what_failed() {
    const READ: &str = "
import sys, xml.etree.ElementTree as E
root = E.fromstring(sys.stdin.buffer.read())
assert root.tag == 'testsuites', root.tag
for suite in root:
    cases = suite.findall('testcase')
    failures = [case for case in cases if case.find('failure') is not None]
    assert int(suite.get('tests')) == len(cases) and int(suite.get('failures')) == len(failures)
    assert all(case.get('classname') == suite.get('name') for case in cases)
    for case in cases:
        failed = case.find('failure')
        print(case.get('classname'), '|', case.get('name'), '|', case.get('file'), case.get('line'), '|', failed is not None and failed.text.count('\\n'))
print(root.get('tests'), root.get('failures'))
";
    let hostile = "deny: \"GET /<b>&'x'\"";
    let root = estate(
        &ESTATE
            .replace("deny: \"DELETE /books/1\"", hostile)
            .replace("\"GET /books/*\",", "\"GET /**\","),
    );
    let output = policy("test", &root, &["-o", "junit"]);
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut python = Command::new("python3")
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("PYTHONIOENCODING", "utf-8")
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(&output.stdout)
        .unwrap();
    let read = python.wait_with_output().unwrap();
    assert!(read.status.success(), "{}", stdout(&output));
    assert_eq!(
        stdout(&read),
        "Test extra | assistant → ledger : connect allow | estate.yaml 33 | False\n\
         policy assistant | assistant → library : GET /books/1 allow | estate.yaml 27 | False\n\
         policy assistant | assistant → library : GET /<b>&'x' deny | estate.yaml 28 | 1\n\
         3 1\n"
    );
}

#[test]
fn lists_who_may_reach_what() {
    let root = estate(ESTATE);
    let output = policy("list", &root, &[]);
    assert_eq!(output.status.code(), Some(0));
    let said = stdout(&output);
    let rows: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["FROM", "TO", "OPERATION", "WHEN"]);
    assert_eq!(rows[1], ["assistant", "ledger", "connect"]);
    assert_eq!(rows[2], ["assistant", "library", "GET", "/books/*"]);
    assert_eq!(rows[3][..4], ["assistant", "library", "PUT", "/books/{id}"]);
    assert!(said.contains("-1 < 0 && task == 'a,\"b'"), "{said}");

    let said = stdout(&policy(
        "list",
        &root,
        &["--by", "service", "--to", "ledger"],
    ));
    let rows: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows,
        [
            vec!["TO", "FROM", "OPERATION"],
            vec!["ledger", "assistant", "connect"]
        ]
    );

    let found = lines(&policy("list", &root, &["-o", "json"]));
    assert_eq!(found.len(), 3);
    assert_eq!(found[2]["when"][0], "-1 < 0 && task == 'a,\"b'");
    assert_eq!(
        (&found[1]["mode"], &found[1]["protocol"]),
        (&"enforce".into(), &"http".into())
    );
    assert_eq!(found[1]["receiveRule"]["line"], 5);
    assert!(found[0]["receiveRule"].is_null());

    let output = policy("list", &root, &["--from", "asistant"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean assistant?"));
    assert_eq!(
        stdout(&policy("list", &root, &["--from", "ledger"]))
            .lines()
            .count(),
        1
    );
}

#[test]
fn csv_is_read_by_others_and_holds_no_formula() {
    const READ: &str = "
import csv, sys, io
for row in csv.DictReader(io.TextIOWrapper(sys.stdin.buffer, 'utf-8', newline='')):
    print(row['from'], row['to'], row['operation'], row['when'], row['rule'], sep='|')
    assert None not in row and len(row) == 12
    assert not any(cell[:1] in '=+-@' and cell for cell in row.values()), row
";
    let output = policy("list", &estate(ESTATE), &["-o", "csv"]);
    assert!(stdout(&output).lines().count() == 4 && stdout(&output).matches("\r\n").count() == 4);
    let mut python = Command::new("python3")
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(&output.stdout)
        .unwrap();
    let read = python.wait_with_output().unwrap();
    assert!(read.status.success(), "{}", stdout(&output));
    assert_eq!(
        stdout(&read),
        "assistant|ledger|connect||estate.yaml:25\n\
         assistant|library|GET /books/*||estate.yaml:23\n\
         assistant|library|PUT /books/{id}|'-1 < 0 && task == 'a,\"b'|estate.yaml:23\n"
    );
}

#[test]
fn a_softened_policy_is_said_to_reach_further() {
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let mode = format!(
        "  agent: assistant\n  mode: shadow\n  until: {}\n",
        today.tomorrow().unwrap()
    );
    let root = estate(&ESTATE.replace("  agent: assistant\n", &mode));
    let output = policy("list", &root, &[]);
    assert!(stdout(&output).contains("MODE") && stdout(&output).contains("shadow"));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("policy assistant is in mode shadow until"),
    );
}

#[test]
fn the_schema_is_what_init_writes_and_the_files_name_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["policy", "schema"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        printed["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let root = tempfile::tempdir().unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .arg("init")
        .arg(root.path())
        .output()
        .unwrap();
    assert_eq!(made.status.code(), Some(0));
    let written = fs::read(root.path().join("ringfence.schema.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), printed);
    for file in ["services.yaml", "agents.yaml", "policies.yaml"] {
        let text = fs::read_to_string(root.path().join(file)).unwrap();
        assert!(
            text.starts_with("# yaml-language-server: $schema=ringfence.schema.json\n"),
            "{file}"
        );
    }
    assert_eq!(
        policy("lint", &root, &["--failure-threshold", "info"])
            .status
            .code(),
        Some(0)
    );
}
