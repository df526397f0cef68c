//! `ringfence policy reach`, and the tests that hold it, as a user runs them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod policy_cli_support;

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use policy_cli_support::{estate, lines, policy, stderr, stdout};

const ESTATE: &str = r#"apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: assistant }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: planner }
spec: { serves: { protocol: http, port: 80 } }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: library }
spec: { protocol: http, port: 80 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: ledger }
spec: { protocol: tcp, port: 5432 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: vault }
spec: { protocol: tcp, port: 5433 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: assistant }
spec:
  agent: assistant
  initiate:
    - { agent: planner, operations: ["POST /plans"] }
    - { service: library, operations: ["GET /books/*", "GET /a&'<\"--b"] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: planner }
spec:
  agent: planner
  receive: [{ agent: assistant, operations: ["POST /**"] }]
  initiate:
    - { service: library, operations: ["GET /**"] }
    - { service: ledger, operations: [{ allow: connect, when: "task == '</title><script>\"\\n'" }] }
"#;

fn with(more: &str) -> TempDir {
    estate(&format!("{ESTATE}{more}"))
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output)
}

/// What a reader of XML that we did not write makes of it.
fn python(script: &str, input: &[u8]) -> String {
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(input).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_way_is_told_step_by_step_with_what_it_hangs_on() {
    let root = with("");
    let said = out(&policy("reach", &root, &["--from", "assistant"]));
    let rows: Vec<Vec<&str>> = said
        .lines()
        .map(|line| {
            line.split("  ")
                .filter(|it| !it.is_empty())
                .map(str::trim)
                .collect()
        })
        .collect();
    assert_eq!(
        rows[0],
        ["HOPS", "WORKLOAD", "BY WAY OF", "OPERATIONS", "IF"]
    );
    assert!(rows[1].starts_with(&["1", "service library"]), "{said}");
    assert!(
        rows[2].starts_with(&["1", "agent planner", "planner : POST /plans"]),
        "{said}"
    );
    assert!(
        rows[3].starts_with(&[
            "2",
            "service ledger",
            "planner : POST /plans → ledger : connect",
            "connect"
        ]),
        "{said}"
    );
    assert!(rows[3][4].starts_with("ledger: task =="), "{said}");
    assert!(
        said.ends_with("assistant reaches 3 of 4 others\n"),
        "{said}"
    );

    let found = lines(&policy(
        "reach",
        &root,
        &["--from", "assistant", "-o", "json"],
    ));
    let ledger = &found[2];
    assert_eq!(
        (&ledger["to"], &ledger["hops"]),
        (&"ledger".into(), &2.into())
    );
    assert!(ledger["hopsWithoutConditions"].is_null());
    assert_eq!(ledger["path"][0]["example"], "POST /plans");
    assert_eq!(ledger["path"][1]["rule"]["file"], "estate.yaml");
    let one = lines(&policy(
        "reach",
        &root,
        &["--from", "assistant", "--hops", "1", "-o", "json"],
    ));
    assert_eq!(one.len(), 2);

    let all = lines(&policy("reach", &root, &["-o", "json"]));
    let line = |it: &Value| {
        (
            it["from"].as_str().unwrap().to_owned(),
            it["direct"].as_u64().unwrap(),
            it["all"].as_u64().unwrap(),
            it["withoutConditions"].as_u64().unwrap(),
        )
    };
    let all: Vec<_> = all.iter().map(line).collect();
    assert_eq!(all[0], ("assistant".into(), 2, 3, 2));
    assert_eq!(all[1], ("planner".into(), 2, 2, 1));
    assert_eq!((all.len(), all[4].2), (5, 0));
}

#[test]
fn names_that_nobody_has_are_met_with_the_near_one() {
    let root = with("");
    let output = policy("reach", &root, &["--from", "asistant"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("did you mean assistant?"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        policy("reach", &root, &["--hops", "0"]).status.code(),
        Some(2)
    );
    let broken = tempfile::tempdir().unwrap();
    fs::write(broken.path().join("a.yaml"), "kind: [").unwrap();
    assert_eq!(policy("reach", &broken, &[]).status.code(), Some(1));
    // Nobody at all is a picture too.
    let empty = tempfile::tempdir().unwrap();
    for format in ["table", "json", "dot", "svg"] {
        assert_eq!(
            policy("reach", &empty, &["-o", format]).status.code(),
            Some(0),
            "{format}"
        );
    }
}

#[test]
fn the_picture_is_one_file_of_sound_xml_and_the_same_each_time() {
    const READ: &str = "
import sys, xml.etree.ElementTree as E
root = E.fromstring(sys.stdin.buffer.read())
ns = '{http://www.w3.org/2000/svg}'
assert root.tag == ns + 'svg' and root.get('role') == 'img'
ids = {it.get('id') for it in root if it.get('id')}
assert set(root.get('aria-labelledby').split()) == ids, ids
names = {it.tag.removeprefix(ns) for it in root.iter()}
assert names <= {'svg', 'title', 'desc', 'style', 'rect', 'text', 'g', 'path', 'circle'}, names
assert not any(key.startswith('on') or 'href' in key for it in root.iter() for key in it.keys())
print('|'.join(it.text for it in root.iter(ns + 'text') if 'name' in it.get('class').split()))
print(root.find(ns + 'title').text)
print(any('</title><script>' in (it.text or '') for it in root.iter(ns + 'title')))
";
    let root = with("");
    let picture = policy("reach", &root, &["--from", "assistant", "-o", "svg"]);
    let again = policy("reach", &root, &["--from", "assistant", "-o", "svg"]);
    assert_eq!(out(&picture), out(&again));
    assert_eq!(
        python(READ, &picture.stdout),
        "assistant|library|planner|ledger\nWhat assistant reaches when it is taken over\nTrue\n"
    );
    assert!(out(&picture).contains("prefers-color-scheme: dark"));
    assert!(out(&picture).contains("Out of reach: 1"));
    let whole = policy("reach", &root, &["-o", "svg"]);
    assert!(python(READ, &whole.stdout).starts_with("assistant|ledger|library|planner\n"));
}

#[test]
fn words_of_others_stay_between_the_quotes_of_a_graph() {
    let root = with("");
    let graph = out(&policy(
        "reach",
        &root,
        &["--from", "assistant", "-o", "dot"],
    ));
    // Outside of quotes stands nothing but our own words.
    let mut outside = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in graph.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if !quoted => outside.push(c),
            _ => {}
        }
    }
    assert!(
        !quoted && !outside.contains("script") && !outside.contains("books"),
        "{outside}"
    );
    assert!(graph.contains("style=dashed"), "{graph}");
    assert!(graph.starts_with("digraph reach {") && graph.ends_with("}\n"));
}

fn test(spec: &str) -> String {
    format!(
        "---\napiVersion: ringfence.dev/v1alpha1\nkind: Test\nmetadata: {{ name: far }}\nspec: {spec}\n"
    )
}

#[test]
fn a_test_of_reach_that_fails_keeps_the_configuration_out_and_names_the_way() {
    let root = with(&test(
        "{ tests: [{ from: assistant, unreachable: ledger }, { from: assistant, unreachable: vault, hops: 3 }, { from: assistant, reachable: planner, hops: 1 }] }",
    ));
    let output = policy("test", &root, &[]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        said.contains("FAIL  Test far: assistant → ledger : unreachable\n"),
        "{said}"
    );
    assert!(
        said.contains("assistant → planner : POST /plans (estate.yaml:31 and estate.yaml:39)"),
        "{said}"
    );
    assert!(said.contains("→ ledger : connect (estate.yaml:"), "{said}");
    assert!(
        said.contains("ok    Test far: assistant → vault : unreachable within 3 hops\n"),
        "{said}"
    );
    assert!(
        said.contains("ok    Test far: assistant → planner : reachable within 1 hop\n"),
        "{said}"
    );
    let found = lines(&policy("test", &root, &["-o", "json"]));
    let line = found.iter().find(|it| it["to"] == "vault").unwrap();
    assert_eq!(
        (&line["expected"], &line["hops"]),
        (&"unreachable".into(), &3.into())
    );
    assert!(line["op"].is_null());
    let output = policy("test", &root, &["-o", "junit"]);
    let read = "import sys, xml.etree.ElementTree as E; r = E.fromstring(sys.stdin.buffer.read()); print(r.get('tests'), r.get('failures'))";
    assert_eq!(python(read, &output.stdout), "3 1\n");
    // No node takes it, and lint says so too.
    for verb in ["lint", "list", "reach"] {
        let output = policy(verb, &root, &[]);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            stderr(&output)
        );
        assert_eq!(output.status.code(), Some(1), "{verb}");
        assert!(
            said.contains("ledger should be out of reach of assistant"),
            "{verb}: {said}"
        );
    }
}

#[test]
fn a_test_of_reach_that_is_written_wrong_says_what_is_wrong() {
    for (spec, words) in [
        (
            "{ from: assistant, unreachable: legder }",
            "did you mean ledger",
        ),
        (
            "{ from: assistant, unreachable: assistant }",
            "reaches itself",
        ),
        (
            "{ from: assistant, unreachable: vault, hops: 0 }",
            "from 1 to",
        ),
        (
            "{ from: assistant, unreachable: vault, reachable: vault }",
            "exactly one of",
        ),
        ("{ from: assistant, hops: 2 }", "exactly one of"),
        ("{ unreachable: vault }", "from: NAME"),
        (
            "{ from: assistant, unreachable: vault, deny: connect }",
            "no field \"deny\"",
        ),
        (
            "{ from: assistant, unreachable: vault, with: {} }",
            "not supported yet",
        ),
    ] {
        let output = policy("test", &with(&test(spec)), &[]);
        assert_eq!(output.status.code(), Some(1), "{spec}");
        assert!(
            stderr(&output).contains(words),
            "{spec}: {}",
            stderr(&output)
        );
    }
}

/// The one in the manual.
#[test]
fn the_picture_of_the_manual_is_of_the_example() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args([
            "policy",
            "reach",
            "--from",
            "assistant",
            "-o",
            "svg",
            "--config",
        ])
        .arg(root.join("examples/office"))
        .output()
        .unwrap();
    let kept = fs::read_to_string(root.join("docs/pictures/reach.svg")).unwrap();
    assert!(
        out(&output) == kept,
        "draw it again: ringfence policy reach --config examples/office --from assistant -o svg > docs/pictures/reach.svg"
    );
}

#[test]
fn a_websocket_is_a_way_and_a_test_of_reach_sees_it() {
    let socket = |rule: &str| {
        let text = ESTATE.replace("\"POST /plans\"", rule);
        let text = text.replace("[\"POST /**\"]", "[\"* /**\", \"WEBSOCKET /live/*\"]");
        let claim = test("{ from: assistant, unreachable: ledger }");
        (estate(&text), estate(&format!("{text}{claim}")))
    };
    let (root, claimed) = socket("\"WEBSOCKET /live/*\"");
    let found = out(&policy(
        "reach",
        &root,
        &["--from", "assistant", "-o", "json"],
    ));
    let row: Value = serde_json::from_str(
        found
            .lines()
            .find(|it| it.contains("\"to\":\"planner\",\"toKind\""))
            .unwrap(),
    )
    .unwrap();
    assert_eq!(row["path"][0]["example"], "WEBSOCKET /live/x");
    let output = policy("test", &claimed, &[]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        said.contains("assistant → planner : WEBSOCKET /live/x (estate.yaml:"),
        "{said}"
    );
    // It is named by the initiator alone, or stands where the receiver names another one.
    let (root, claimed) = socket("\"WEBSOCKET /other\"");
    let found = out(&policy("reach", &root, &["--from", "assistant"]));
    assert!(
        found.ends_with("assistant reaches 1 of 4 others\n"),
        "{found}"
    );
    assert!(policy("test", &claimed, &[]).status.success());
}

fn reached(count: usize) -> TempDir {
    let mut text = ESTATE.split("---\n").next().unwrap().to_owned();
    let mut entries = Vec::new();
    for n in 0..count {
        text += &format!(
            "---\napiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {{ name: s{n} }}\nspec: {{ protocol: tcp, port: 80 }}\n"
        );
        entries.push(format!("{{ service: s{n}, operations: [connect] }}"));
    }
    estate(&format!(
        "{text}---\napiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: p }}\nspec: {{ agent: assistant, initiate: [{}] }}\n",
        entries.join(", ")
    ))
}

#[test]
fn a_picture_shows_so_many_workloads_and_is_refused_with_one_more() {
    for (others, drawn) in [(399, true), (400, false)] {
        let root = reached(others);
        for arguments in [&["-o", "svg"][..], &["--from", "assistant", "-o", "svg"]] {
            let output = policy("reach", &root, arguments);
            assert_eq!(output.status.success(), drawn, "{}", stderr(&output));
            let said = stderr(&output);
            assert_eq!(
                said.contains("a picture of 401 workloads can be read by nobody; 400 is the most"),
                !drawn,
                "{said}"
            );
            assert_eq!(
                stdout(&output).matches("class=\"box\"").count(),
                if drawn { 400 } else { 0 }
            );
        }
        // What is not for looking at has no bound.
        let output = policy("reach", &root, &["--from", "assistant", "-o", "json"]);
        assert_eq!(lines(&output).len(), others);
    }
}

#[test]
fn so_many_links_beside_the_shortest_ways_are_drawn_and_with_one_more_none() {
    const AGENTS: usize = 16;
    for (more, drawn) in [(false, true), (true, false)] {
        let mut text = ESTATE.split("---\n").next().unwrap().to_owned();
        let names = |numbers: Vec<usize>| -> String {
            let entry = |n| format!("{{ agent: b{n}, operations: [connect] }}");
            numbers
                .into_iter()
                .map(entry)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let policy_of = |name: &str, initiate: String, receive: String| {
            format!(
                "---\napiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec: {{ agent: {name}, initiate: [{initiate}], receive: [{receive}] }}\n"
            )
        };
        text += &policy_of("assistant", names((0..AGENTS).collect()), String::new());
        for n in 0..AGENTS {
            text += &format!(
                "---\napiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {{ name: b{n} }}\nspec: {{ serves: {{ protocol: tcp, port: 80 }} }}\n"
            );
            // Each to all after it, 120 pairs, and one back.
            let back = more && n == 1;
            let to = (n + 1..AGENTS).chain(back.then_some(0)).collect();
            let from = names((0..n).chain((more && n == 0).then_some(1)).collect());
            let from = format!("{{ agent: assistant, operations: [connect] }}, {from}");
            text += &policy_of(
                &format!("b{n}"),
                names(to),
                from.trim_end_matches(", ").to_owned(),
            );
        }
        let output = policy(
            "reach",
            &estate(&text),
            &["--from", "assistant", "-o", "svg"],
        );
        let picture = out(&output);
        let asides = picture.matches("<path class=\"way aside\" d=\"M").count();
        // One of them, where there are any, is the sample in the legend.
        let (wanted, words) = match drawn {
            true => (121, ">another way<"),
            false => (1, ">121 links of other ways: not drawn<"),
        };
        assert_eq!(asides, wanted);
        assert!(picture.contains(words));
    }
}
