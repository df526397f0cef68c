//! Secrets in every place where a request can carry them: none of them is in the log, the state, or anything the node says.
//!
//! The path is the operation and the host is the destination: they are recorded by design, and nothing is planted in them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e_support::{BINARY, POLICY, PYTHON, SERVICES, curl, web, workdir};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Node, NodeOptions, Running};

/// What nobody may find.
const SECRET: &str = "Zq7-hunter2/Kx9";
/// What may be read, because the resource names it.
const TENANT: &str = "acme-4711";

/// Services over HTTP/2; of one it is said what may be read.
const STREAMS: &str = r#"
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: news }
spec: { protocol: http2, port: 8080, record: { headers: [X-Tenant], query: [page] } }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: calls }
spec: { protocol: grpc, port: 50051 }
"#;

/// The services of all tests, and what of `web` may be read, and those over HTTP/2.
fn estate() -> String {
    SERVICES.replacen(
        "port: 8080, hosts: [web.example.test]",
        "port: 8080, hosts: [web.example.test], record: { headers: [X-Tenant], query: [page] }",
        1,
    ) + STREAMS
}

fn start() -> Node {
    let policy = POLICY.replace(
        "    - service: cache\n",
        "    - { service: news, operations: [\"GET /**\", \"POST /items\"] }\n    \
             - { service: calls, operations: [\"shop.v1.Orders/*\"] }\n    - service: cache\n",
    );
    NodeOptions::new(BINARY)
        .file("services.yaml", &estate())
        .file("policy.yaml", &policy)
        .up_arguments(&["--metrics", "127.0.0.1:9464"])
        .start()
        .unwrap()
}

/// Requests over HTTP/1.1, and over HTTP/2, with the secret wherever one can be.
const CLIENT: &str = include_str!("e2e_secrets/http1.py");
const STREAMS_CLIENT: &str = include_str!("e2e_secrets/http2.py");
/// Answers over HTTP/2.
const STREAMS_SERVICE: &str = include_str!("e2e_secrets/service.py");

fn streamed(node: &Node, name: &str) -> Running {
    let path = workdir(node, &format!("work-{name}"), "service.py", STREAMS_SERVICE);
    let port = if name == "news" { "8080" } else { "50051" };
    let launch = node.workload(name).workdir(&path);
    let mut running = launch.spawn(&[PYTHON, "-u", "service.py", port]).unwrap();
    running.wait_until_it_says("is serving").unwrap();
    running
}

/// The secret as it may be written.
fn forms() -> BTreeMap<&'static str, Vec<u8>> {
    let percent = |all: bool| -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        SECRET
            .bytes()
            .map(|b| match plain(b) && !all {
                true => char::from(b).to_string(),
                false => format!("%{b:02X}"),
            })
            .collect()
    };
    let hex: String = SECRET.bytes().map(|b| format!("{b:02x}")).collect();
    let swapped: String = SECRET
        .chars()
        .map(|c| match c.is_ascii_lowercase() {
            true => c.to_ascii_uppercase(),
            false => c.to_ascii_lowercase(),
        })
        .collect();
    // The part that stands in base64 in the same way wherever the text begins in three bytes.
    let base64 = |text: &str| {
        let encoded = base64(text.as_bytes());
        encoded[4..encoded.len() - 4].to_owned()
    };
    BTreeMap::from([
        ("plain", SECRET.into()),
        ("without a slash", SECRET.replace('/', "").into()),
        ("reversed", SECRET.chars().rev().collect::<String>().into()),
        ("other case", swapped.into()),
        ("lower case", SECRET.to_lowercase().into()),
        ("quoted", percent(false).into()),
        ("percent", percent(true).into()),
        ("hex", hex.clone().into()),
        ("HEX", hex.to_uppercase().into()),
        ("base64", base64(SECRET).into()),
        ("basic", base64(&format!("user:{SECRET}")).into()),
        ("a part", "hunter2".into()),
    ])
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let number = three
            .iter()
            .chain([&0; 3])
            .take(3)
            .fold(0_u32, |all, b| all << 8 | u32::from(*b));
        for at in 0..4 {
            out.push(match at <= three.len() {
                true => char::from(SIGNS[(number >> (18 - 6 * at)) as usize & 63]),
                false => '=',
            });
        }
    }
    out
}

/// Which forms of the secret are in `bytes`.
fn found(bytes: &[u8]) -> Vec<&'static str> {
    let holds = |form: &[u8]| bytes.windows(form.len()).any(|window| window == form);
    forms()
        .into_iter()
        .filter(|(_, form)| holds(form))
        .map(|(name, _)| name)
        .collect()
}

/// Every file of the state directory, and what is found in it.
fn look(directory: &Path, files: &mut usize, leaks: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            look(&path, files, leaks);
        } else if kind.is_file() {
            *files += 1;
            let leaked = found(&fs::read(&path).unwrap());
            if !leaked.is_empty() {
                leaks.push(format!("{}: {leaked:?}", path.display()));
            }
        }
    }
}

#[test]
fn no_planted_secret_is_anywhere_and_what_the_resource_names_is() {
    for (name, form) in forms() {
        assert!(found(&form).contains(&name), "{name}");
    }
    let mut node = start();
    let _service = web(&node);
    let streams = ["news", "calls"].map(|name| streamed(&node, name));
    for (file, program) in [("http1.py", CLIENT), ("http2.py", STREAMS_CLIENT)] {
        let path = workdir(&node, &format!("work-{file}"), file, program);
        let mut client = node
            .workload("agent")
            .workdir(&path)
            .limit(Duration::from_secs(120))
            .spawn(&[PYTHON, "-u", file, SECRET, TENANT])
            .unwrap();
        client.wait_until_it_says("answered").unwrap();
    }
    // What is to be hidden did arrive where it was meant to.
    for service in &streams {
        assert!(
            service.process.stdout().contains(SECRET),
            "{}",
            service.process.stderr()
        );
    }
    let flows = node.flows().unwrap();
    let operations: Vec<&FlowRecord> = flows
        .iter()
        .filter(|r| r.kind == RecordKind::Operation && r.protocol != "dns")
        .collect();
    // Each was recorded: what follows would find nothing in a log of nothing.
    let of = |protocol: &str, outcome| {
        let is = |r: &&&FlowRecord| r.protocol == protocol && r.outcome == outcome;
        operations.iter().filter(is).count()
    };
    assert!(of("http", Outcome::Allow) >= 30, "{operations:#?}");
    assert!(of("http", Outcome::Deny) >= 20, "{operations:#?}");
    assert!(of("http2", Outcome::Allow) >= 30, "{operations:#?}");
    assert!(of("http2", Outcome::Deny) >= 20, "{operations:#?}");
    assert!(of("grpc", Outcome::Allow) >= 6, "{operations:#?}");
    assert!(of("grpc", Outcome::Deny) >= 6, "{operations:#?}");
    let clear = format!("query.page=2 header.x-tenant={TENANT}");
    for protocol in ["http", "http2"] {
        let of_it = || operations.iter().filter(|r| r.protocol == protocol);
        let hidden = of_it().filter(|r| r.fields.contains("header.authorization~"));
        assert!(hidden.count() >= 6, "{protocol}");
        assert_eq!(
            of_it().filter(|r| r.fields == clear).count(),
            2,
            "{protocol}"
        );
    }

    let (_, status) = node.status().unwrap();
    let ready = node.verb("audit export", &["--format", "ocsf"]).unwrap();
    let table = node.verb("observe", &["-o", "table"]).unwrap();
    let metrics = node
        .host()
        .run(["curl", "-sS", "http://127.0.0.1:9464/metrics"])
        .unwrap()
        .stdout;
    assert!(metrics.contains("ringfence_"), "{metrics}");
    for (what, text) in [
        ("status", status.to_string()),
        ("export", ready.stdout),
        ("observe", table.stdout),
        ("messages", node.messages()),
        ("metrics", metrics),
    ] {
        assert_eq!(found(text.as_bytes()), [""; 0], "{what}");
    }
    let (mut files, mut leaks) = (0, Vec::new());
    look(node.state(), &mut files, &mut leaks);
    assert!(files > 5, "{files}");
    assert_eq!(leaks, [""; 0]);
    let stopped = node.stop().unwrap();
    let said = stopped.stdout + &stopped.stderr;
    assert_eq!(found(said.as_bytes()), [""; 0], "{said}");
}

/// `ringfence audit match`, with a value on standard input.
fn compare(node: &Node, seq: u64, name: &str, value: &str) -> (Option<i32>, String) {
    let mut child = Command::new(BINARY)
        .args(["audit", "match", &seq.to_string(), name, "--state"])
        .arg(node.state())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Where there is nothing to compare it with, it is not read.
    let _not_read = child.stdin.take().unwrap().write_all(value.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_value_can_be_checked_until_its_key_is_deleted_and_the_log_verifies_as_before() {
    let node = start();
    let _service = web(&node);
    let bearer = format!("authorization: Bearer {SECRET}");
    let url = format!("http://web:8080/a?token={SECRET}&page=7");
    let (_, _, code) = curl(&node, &["-H", &bearer, "-H", "X-Mine: mine", &url]);
    assert_eq!(code, 200);
    let record = node.wait_for_flow(|r| r.operation == "GET /a").unwrap();
    let (seq, key) = (record.seq, record.fields_key);
    let right = format!("Bearer {SECRET}\n");
    for (name, value, code) in [
        ("header.authorization", right.as_str(), 0),
        ("header.Authorization", &format!("Bearer {SECRET}"), 0),
        ("header.authorization", "Bearer other", 4),
        ("query.token", SECRET, 0),
        ("query.token", "other", 4),
        ("query.other", SECRET, 4),
        ("header.x-mine", "mine", 0),
        ("query.page", "7", 0),
        ("query.page", "8", 4),
        ("token", SECRET, 2),
    ] {
        let (exit, said) = compare(&node, seq, name, value);
        assert_eq!(exit, Some(code), "{name} {value}: {said}");
        assert_eq!(found(said.as_bytes()), [""; 0], "{said}");
    }
    let (exit, _) = compare(&node, 0, "header.authorization", "x");
    assert_eq!(exit, Some(1), "an event has no values");

    let signed = |seq: u64| {
        node.await_that("a proof", |node| {
            let proof = node.verb("audit proof", &[&seq.to_string()])?;
            Ok((proof.code == Some(0)).then_some(proof.stdout))
        })
        .unwrap()
    };
    let proof = signed(seq);
    let verified = node.verb("audit verify", &[]).unwrap();
    assert_eq!(verified.code, Some(0), "{verified:?}");

    let keys = key.to_string();
    let redact = |more: &[&str]| {
        let words = [&["--reason", "erasure request 4711"], more].concat();
        node.verb("audit redact", &words).unwrap()
    };
    let nothing = redact(&["--before", "2020-01-01"]);
    assert_eq!(
        (nothing.code, nothing.stdout.trim()),
        (Some(0), "no key deleted")
    );
    let dry = redact(&["--keys", &keys, "--dry-run"]);
    assert_eq!(dry.stdout.trim(), format!("1 key would be deleted: {key}"));
    assert_eq!(compare(&node, seq, "query.token", SECRET).0, Some(0));
    let done = redact(&["--keys", &keys]);
    assert_eq!(
        (done.code, done.stdout.trim().to_owned()),
        (Some(0), format!("1 key deleted: {key}")),
        "{done:?}"
    );
    let event = node
        .wait_for_flow(|r| r.operation == "values redacted")
        .unwrap();
    assert!(event.reason.contains("erasure request 4711"), "{event:?}");
    assert!(event.reason.contains("uid "), "{event:?}");
    let (exit, said) = compare(&node, seq, "header.authorization", &right);
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("redacted"), "{said}");

    // The log is what it was, and goes on under another key.
    let verified = node.verb("audit verify", &[]).unwrap();
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(signed(seq).lines().next(), proof.lines().next());
    let kept = node.host().directory("kept").unwrap().join("proof");
    fs::write(&kept, &proof).unwrap();
    let held = node
        .verb("audit proof", &["--check", kept.to_str().unwrap()])
        .unwrap();
    assert_eq!(held.code, Some(0), "{held:?}");
    let (_, _, code) = curl(&node, &["-H", &bearer, "http://web:8080/b"]);
    assert_eq!(code, 200);
    let next = node.wait_for_flow(|r| r.operation == "GET /b").unwrap();
    assert!(next.fields_key > key, "{next:?}");
    let (exit, said) = compare(&node, next.seq, "header.authorization", &right);
    assert_eq!(exit, Some(0), "{said}");
}

/// Without a key there is nothing to hide a value with: what needs one is refused, and what needs none passes.
#[test]
fn without_a_key_a_request_with_something_to_hide_is_refused() {
    let node = start();
    let _service = web(&node);
    let get = |more: &[&str], path: &str| {
        let url = format!("http://web:8080{path}");
        curl(&node, &[more, &[&url]].concat()).2
    };
    assert_eq!(get(&["-H", "cookie: a=b"], "/before"), 200);
    let keys = node.state().join("log/keys");
    // Neither the enforcer nor root can make a file where a file is.
    fs::remove_dir_all(&keys).unwrap();
    fs::write(&keys, "").unwrap();
    node.await_that("a refusal", |_| {
        Ok((get(&["-H", "cookie: a=b"], "/refused") == 503).then_some(()))
    })
    .unwrap();
    assert_eq!(get(&[], "/plain?page=3"), 200);
    let gap = node
        .wait_for_flow(|r| r.operation == "unrecorded denials")
        .unwrap();
    assert!(gap.reason.contains("there is no key"), "{gap:?}");
}
