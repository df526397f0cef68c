//! `ringfence policy explain --with`: what a condition would see.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const ESTATE: &str = r#"apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: tools }
spec: { protocol: http, port: 80 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: clerk }
spec:
  agent: clerk
  initiate:
    - service: tools
      operations: [{ allow: "POST /refunds", when: "body.amount <= 100 && request.query.team == 'crm'" }]
"#;

fn estate() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("estate.yaml"), ESTATE).unwrap();
    directory
}

fn explain(directory: &TempDir, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["policy", "explain", "--from", "clerk", "--to", "tools"])
        .args(["--op", "POST /refunds", "--config"])
        .arg(directory.path())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read its input may have gone already.
    let _read_or_not = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn without_a_context_a_conditional_rule_says_what_it_needs() {
    let directory = estate();
    let output = explain(&directory, &["-o", "json"], "");
    assert_eq!(output.status.code(), Some(3));
    let answer = json(&output);
    assert_eq!(answer["outcome"], "deny");
    assert_eq!(answer["conditional"], true);
    assert_eq!(
        answer["needs"],
        serde_json::json!(["request.query.team", "body"])
    );
    let text = String::from_utf8(explain(&directory, &[], "").stdout).unwrap();
    assert!(text.contains("needs    request.query.team, body"), "{text}");
    assert!(text.contains("--with JSON"), "{text}");
}

#[test]
fn with_one_it_is_decided() {
    let directory = estate();
    let with = |amount: u32| {
        format!(r#"{{"request":{{"query":{{"team":"crm"}}}},"body":{{"amount":{amount}}}}}"#)
    };
    let allowed = explain(&directory, &["--with", &with(100), "-o", "json"], "");
    assert_eq!(allowed.status.code(), Some(0));
    assert!(json(&allowed).get("conditional").is_none());
    let denied = explain(&directory, &["--with", &with(101), "-o", "json"], "");
    assert_eq!(denied.status.code(), Some(3));
    assert!(
        json(&denied)["reason"]
            .as_str()
            .unwrap()
            .contains("is false")
    );
    // From a file, and from standard input.
    let file = directory.path().join("with.json");
    fs::write(&file, with(7)).unwrap();
    let file = format!("@{}", file.display());
    assert_eq!(
        explain(&directory, &["--with", &file], "").status.code(),
        Some(0)
    );
    assert_eq!(
        explain(&directory, &["--with", "@-"], &with(7))
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        explain(&directory, &["--with", "@-"], &with(700))
            .status
            .code(),
        Some(3)
    );
}

#[test]
fn a_context_that_is_too_large_is_refused_and_not_cut() {
    let directory = estate();
    let with = r#"{"body": {"amount": 700}}"#;
    let room = (1 << 20) - with.len();
    for (spaces, code) in [(room, 3), (room + 1, 2)] {
        // What is cut would read the same.
        let text = format!("{with}{}", " ".repeat(spaces));
        let output = explain(&directory, &["--with", "@-"], &text);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{spaces} spaces: {err}");
        assert_eq!(
            err.contains("larger than 1048576 bytes"),
            code == 2,
            "{err}"
        );
    }
}

#[test]
fn a_context_that_nobody_could_ask_about_is_wrong_usage() {
    let directory = estate();
    for (with, said) in [
        ("{", "not a context"),
        ("[1]", "not a context"),
        (r#"{"body": {"amount": 1, "amount": 2}}"#, "not a context"),
        (r#"{"bdy": 1}"#, "with has no field \"bdy\""),
        (
            r#"{"request": {"path": "/x"}}"#,
            "with.request.path is given by the operation already",
        ),
        ("@/nowhere/at/all", "it cannot be read"),
    ] {
        let output = explain(&directory, &["--with", with], "");
        assert_eq!(output.status.code(), Some(2), "{with}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains(said), "{with}: {err}");
    }
}
