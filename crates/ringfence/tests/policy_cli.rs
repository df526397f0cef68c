//! `ringfence init`, `policy lint` and `policy explain` as a user runs them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn ringfence(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.args(args);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The estate that `init` writes, in a directory of its own.
fn estate() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("estate");
    let output = ringfence(&["init"]).arg(&directory).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    (root, directory)
}

fn lint(directory: &Path, args: &[&str]) -> Output {
    ringfence(&["policy", "lint", "--config"])
        .arg(directory)
        .args(args)
        .output()
        .unwrap()
}

fn explain(directory: &Path, args: &[&str]) -> Output {
    ringfence(&["policy", "explain", "--config"])
        .arg(directory)
        .args(args)
        .output()
        .unwrap()
}

fn line_of(file: &Path, text: &str) -> usize {
    let found = fs::read_to_string(file)
        .unwrap()
        .lines()
        .position(|line| line.contains(text));
    found.unwrap() + 1
}

#[test]
fn init_writes_an_estate_that_loads_and_names_the_next_command() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("deep/my estate");
    let output = ringfence(&["init"]).arg(&directory).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = stdout(&output);
    assert!(
        said.contains(&format!("ringfence up --config '{}'", directory.display())),
        "{said}"
    );
    let checked = lint(&directory, &[]);
    assert_eq!(
        checked.status.code(),
        Some(0),
        "{}{}",
        stdout(&checked),
        stderr(&checked)
    );
    assert_eq!(
        stdout(&checked),
        "1 service, 1 agent, 1 policy: no errors\n"
    );
    assert_eq!(stderr(&checked), "");
}

#[test]
fn init_overwrites_nothing_and_leaves_nothing_half_done() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("notes.txt"), "mine").unwrap();
    fs::write(root.path().join("policies.yaml"), "mine").unwrap();
    let output = ringfence(&["init"]).arg(root.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("policies.yaml exists already") && said.contains("help: "),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(root.path().join("policies.yaml")).unwrap(),
        "mine"
    );
    assert!(!root.path().join("services.yaml").exists());

    fs::remove_file(root.path().join("policies.yaml")).unwrap();
    let output = ringfence(&["init"]).arg(root.path()).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "files of other names do not matter"
    );
    assert_eq!(
        fs::read_to_string(root.path().join("notes.txt")).unwrap(),
        "mine"
    );
}

#[test]
fn lint_reports_every_error_with_place_text_and_fix() {
    let (_root, directory) = estate();
    let policies = directory.join("policies.yaml");
    let text = fs::read_to_string(&policies).unwrap();
    fs::write(
        &policies,
        text.replace("service: library", "service: libary")
            .replace("owner:", "onwer:"),
    )
    .unwrap();
    let services = directory.join("services.yaml");
    let text = fs::read_to_string(&services).unwrap();
    fs::write(&services, text.replace("port: 8000", "port: 0")).unwrap();

    let output = lint(&directory, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    for (file, needle) in [
        (&policies, "libary"),
        (&policies, "onwer"),
        (&services, "port: 0"),
    ] {
        let place = format!(
            "{}:{}:",
            file.file_name().unwrap().to_string_lossy(),
            line_of(file, needle)
        );
        assert!(said.contains(&place), "{place} in {said}");
    }
    assert!(said.contains("| ") && said.contains("help: "), "{said}");
    assert!(stderr(&output).starts_with("ringfence: ") && stderr(&output).contains("errors in"));

    let output = lint(&directory, &["-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let errors: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(errors.len() >= 3);
    assert!(errors.iter().all(|error| error["message"].is_string()));
}

#[test]
fn lint_runs_the_policies_own_tests() {
    let (_root, directory) = estate();
    let policies = directory.join("policies.yaml");
    let text = fs::read_to_string(&policies).unwrap();
    fs::write(
        &policies,
        text.replace("deny: \"DELETE /books/42\"", "deny: \"GET /books/42\""),
    )
    .unwrap();
    let output = lint(&directory, &[]);
    assert_eq!(output.status.code(), Some(1));
    let place = format!(
        "policies.yaml:{}:",
        line_of(&policies, "deny: \"GET /books/42\"")
    );
    assert!(stdout(&output).contains(&place), "{}", stdout(&output));
}

#[test]
fn lint_of_no_directory_is_an_error() {
    let output = lint(Path::new("/nonexistent/estate"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("/nonexistent/estate"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn explains_an_allow_with_its_rule() {
    let (_root, directory) = estate();
    let question = [
        "--from",
        "assistant",
        "--to",
        "library",
        "--op",
        "GET /books/7",
    ];
    let output = explain(&directory, &question);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line = line_of(&directory.join("policies.yaml"), "- \"GET /books/*\"");
    let said = stdout(&output);
    assert!(
        said.starts_with("allow  assistant → library : GET /books/7\n"),
        "{said}"
    );
    assert!(
        said.contains(&format!("rule     policies.yaml:{line}\n")),
        "{said}"
    );
    assert!(
        said.contains("- \"GET /books/*\"\n"),
        "the rule's text: {said}"
    );

    let output = explain(&directory, &[&question[..], &["-o", "json"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(answer["outcome"], "allow");
    assert_eq!(answer["rule"], format!("policies.yaml:{line}"));
    assert!(answer["reason"].is_string());
}

#[test]
fn explains_a_deny_with_the_nearest_rule_and_exit_3() {
    let (_root, directory) = estate();
    let question = [
        "--from",
        "assistant",
        "--to",
        "library",
        "--op",
        "DELETE /books/7",
    ];
    let output = explain(&directory, &question);
    assert_eq!(output.status.code(), Some(3));
    let said = stdout(&output);
    assert!(
        said.starts_with("deny  assistant → library : DELETE /books/7\n"),
        "{said}"
    );
    assert!(said.contains("nearest  policies.yaml:"), "{said}");
    assert!(said.contains("method differs"), "{said}");

    for (from, to, op) in [
        ("nobody", "library", "GET /books/7"),
        ("assistant", "nothing", "GET /books/7"),
        ("library", "assistant", "GET /"),
        ("assistant", "library", "connect"),
        ("assistant", "library", "GET /books/../books/7"),
        ("assistant", "library", "get /books/7"),
        ("assistant", "library", ""),
        ("", "", ""),
    ] {
        let output = explain(
            &directory,
            &["--from", from, "--to", to, "--op", op, "-o", "json"],
        );
        assert_eq!(output.status.code(), Some(3), "{from} {to} {op}");
        let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(answer["outcome"], "deny");
        assert!(!answer["reason"].as_str().unwrap().is_empty());
        assert!(answer["rule"].is_null());
    }
}

#[test]
fn question_is_not_obeyed_by_the_terminal() {
    let (_root, directory) = estate();
    let output = explain(
        &directory,
        &[
            "--from",
            "assistant\x1b[2J",
            "--to",
            "library",
            "--op",
            "GET /\x1b[31m\u{202e}",
        ],
    );
    let said = stdout(&output);
    assert!(
        !said.contains('\x1b') && !said.contains('\u{202e}'),
        "{said:?}"
    );
}

fn batch(directory: &Path, input: &[u8]) -> Output {
    let mut child = ringfence(&["policy", "explain", "--batch", "-", "--config"])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A verb that refuses its configuration does not read its questions.
        let _refused = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[test]
fn batch_answers_every_line_in_order_and_as_one_question_does() {
    let (_root, directory) = estate();
    let ops = [
        "GET /books/{n}",
        "DELETE /books/{n}",
        "GET /books/{n}/loans",
        "POST /books/{n}/reviews",
    ];
    let mut input = Vec::new();
    let mut expected = Vec::new();
    for n in 0..20_000 {
        let op = ops[n % ops.len()].replace("{n}", &n.to_string());
        let line = match n % 7 {
            5 => "no json".to_owned(),
            6 => String::new(),
            _ => format!(r#"{{"from":"assistant","to":"library","op":"{op}"}}"#),
        };
        let allowed = n % 7 < 5 && matches!(n % 4, 0 | 3);
        expected.push(if allowed { "allow" } else { "deny" });
        input.extend_from_slice(line.as_bytes());
        input.push(b'\n');
    }
    let output = batch(&directory, &input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answers: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let outcomes: Vec<&str> = answers
        .iter()
        .map(|a| a["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, expected);

    for (op, index) in [("GET /books/0", 0), ("DELETE /books/1", 1)] {
        let one = explain(
            &directory,
            &[
                "--from",
                "assistant",
                "--to",
                "library",
                "--op",
                op,
                "-o",
                "json",
            ],
        );
        assert_eq!(
            serde_json::from_str::<Value>(&stdout(&one)).unwrap(),
            answers[index]
        );
    }
}

#[test]
fn configuration_that_does_not_load_answers_nothing() {
    let (_root, directory) = estate();
    fs::write(directory.join("broken.yaml"), "kind: [\n").unwrap();
    let question = br#"{"from":"assistant","to":"library","op":"GET /books/1"}"#;
    for output in [
        batch(&directory, question),
        explain(
            &directory,
            &[
                "--from",
                "assistant",
                "--to",
                "library",
                "--op",
                "GET /books/1",
            ],
        ),
    ] {
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout(&output), "");
        assert!(
            stderr(&output).contains("broken.yaml:"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn half_a_question_is_a_usage_error() {
    let (_root, directory) = estate();
    for args in [
        &["--from", "assistant"][..],
        &[],
        &[
            "--batch",
            "-",
            "--from",
            "assistant",
            "--to",
            "library",
            "--op",
            "connect",
        ],
    ] {
        assert_eq!(explain(&directory, args).status.code(), Some(2), "{args:?}");
    }
}

/// What a condition sees, on the command line and in a line of a batch: one question, one answer.
#[test]
fn a_context_answers_what_a_condition_asks() {
    let (_root, directory) = estate();
    let rule = "apiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: { name: tools }\n\
                spec: { protocol: http, port: 80, receive: [{ agent: assistant, operations: \
                [{ allow: \"POST /refunds\", when: \"body.amount <= 100\" }] }] }\n";
    fs::write(directory.join("tools.yaml"), rule).unwrap();
    let policies = directory.join("policies.yaml");
    let text = fs::read_to_string(&policies).unwrap();
    let named = "initiate:\n    - service: tools\n      operations: [\"POST /refunds\"]\n";
    fs::write(&policies, text.replacen("initiate:\n", named, 1)).unwrap();
    let question = [
        "--from",
        "assistant",
        "--to",
        "tools",
        "--op",
        "POST /refunds",
        "-o",
        "json",
    ];
    for (with, code, conditional) in [
        (None, 3, true),
        (Some(r#"{"body":{"amount":50}}"#), 0, false),
        (Some(r#"{"body":{"amount":500}}"#), 3, false),
        (Some(r#"{"now":"2026-11-24T12:00:00Z"}"#), 3, true),
    ] {
        let mut args = question.to_vec();
        args.extend(with.iter().flat_map(|with| ["--with", with]));
        let output = explain(&directory, &args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{with:?}: {}",
            stderr(&output)
        );
        let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(
            told["conditional"].as_bool().unwrap_or(false),
            conditional,
            "{told}"
        );
        let line = match with {
            None => r#"{"from":"assistant","to":"tools","op":"POST /refunds"}"#.to_owned(),
            Some(with) => {
                format!(r#"{{"from":"assistant","to":"tools","op":"POST /refunds","with":{with}}}"#)
            }
        };
        let one_of_many: Value =
            serde_json::from_str(&stdout(&batch(&directory, line.as_bytes()))).unwrap();
        assert_eq!(one_of_many, told, "{with:?}");
    }
    for with in ["{", "[]", r#"{"body":{},"body":{}}"#, r#"{"bdy":1}"#] {
        let mut args = question.to_vec();
        args.extend(["--with", with]);
        let output = explain(&directory, &args);
        assert_eq!(
            (output.status.code(), &*stdout(&output)),
            (Some(2), ""),
            "{with}"
        );
    }
}
