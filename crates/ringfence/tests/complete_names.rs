//! Names of workloads on Tab, through bash's own machinery, as a user's shell would call it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use e2e_support::{BINARY, options};
use ringfence_testbed::{Caller, Node};

/// What Tab offers after `line` (words between spaces; the last is being written).
fn tab(line: &str, prefix: &[&str], environment: &[(&str, &Path)]) -> Output {
    // The script goes by how the program was called.
    let line = &line.replacen("ringfence", BINARY, 1);
    // By the registered function, and not by one whose name we know.
    let script = format!(
        r#"source <("{BINARY}" completion bash)
        spec=($(complete -p ringfence)); for at in "${{!spec[@]}}"; do [[ ${{spec[at]}} == -F ]] && f=${{spec[at+1]}}; done
        IFS=' ' read -ra COMP_WORDS <<< {line:?}
        [[ {line:?} == *' ' ]] && COMP_WORDS+=("")
        COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}
        COMPREPLY=(); "$f" "{BINARY}" "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\n' "${{COMPREPLY[@]}}""#
    );
    let words = prefix
        .iter()
        .copied()
        .chain(["bash", "--norc", "-c", &script]);
    let words: Vec<&str> = words.collect();
    Command::new(words[0])
        .args(&words[1..])
        .env_remove("RINGFENCE_CONFIG")
        .envs(environment.iter().copied())
        .env("HOME", "/nonexistent")
        .env_remove("XDG_STATE_HOME")
        .output()
        .unwrap()
}

fn offers(line: &str, environment: &[(&str, &Path)]) -> String {
    let output = tab(line, &[], environment);
    assert!(output.stderr.is_empty(), "{line}: {output:?}");
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn estate() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("a.yaml"), e2e_support::SERVICES).unwrap();
    place
}

#[test]
fn bash_completes_names_from_the_files_that_are_meant() {
    let place = estate();
    let dir = place.path().display().to_string();
    let with = |line: &str| offers(&line.replace("DIR", &dir), &[]);
    for (line, names) in [
        (
            "ringfence policy explain --config DIR --from ",
            "agent cache vault web",
        ),
        (
            "ringfence policy explain --config DIR --from agent --to v",
            "vault",
        ),
        ("ringfence policy list --config DIR --to w", "web"),
        ("ringfence policy explain --config DIR --from = ca", "cache"),
        (
            "ringfence policy explain --config DIR --from =",
            "agent cache vault web",
        ),
        ("ringfence policy explain --config DIR --from zz", ""),
    ] {
        assert_eq!(with(line), names, "{line}");
    }
    // By the environment, and then for all verbs that name workloads.
    let named = [("RINGFENCE_CONFIG", place.path())];
    for (line, names) in [
        ("ringfence policy explain --from a", "agent"),
        ("ringfence run --state /nonexistent a", "agent"),
        ("ringfence observe --state /nonexistent --to c", "cache"),
    ] {
        assert_eq!(offers(line, &named), names, "{line}");
    }
    // Everything else is completed as before.
    assert_eq!(offers("ringfence observe --si", &named), "--since");
    assert_eq!(offers("ringfence pol", &named), "policy");
    let after = offers("ringfence run agent -", &named);
    assert!(
        after.contains("--dry-run") && !after.contains("vault"),
        "{after}"
    );
}

#[test]
fn nothing_is_said_where_nobody_knows() {
    let broken = tempfile::tempdir().unwrap();
    std::fs::write(broken.path().join("a.yaml"), "kind: [").unwrap();
    for dir in [broken.path(), Path::new("/nonexistent")] {
        let named = [("RINGFENCE_CONFIG", dir)];
        for line in ["ringfence run ", "ringfence policy explain --from "] {
            let offered = offers(line, &named);
            assert!(!offered.contains("agent"), "{offered}");
        }
    }
}

fn names(node: &Node, words: &[&str]) -> (Option<i32>, String, String) {
    let mut line: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    line.push(node.binary().display().to_string());
    line.extend(["names", "--", "run", "--state"].map(str::to_owned));
    line.extend([node.state().display().to_string(), String::new()]);
    let output = node.host().run_as_root(line).unwrap();
    (output.code, output.stdout, output.stderr)
}

#[test]
fn the_node_tells_its_owner_and_nobody_else() {
    let node = options().start().unwrap();
    node.enforcer().unwrap();
    let all = "agent\ncache\nvault\nweb\n".to_owned();
    assert_eq!(names(&node, &[]), (Some(0), all, String::new()));
    if Caller::own() == Caller::Root {
        let other = [
            "setpriv",
            "--reuid",
            "54322",
            "--regid",
            "54322",
            "--clear-groups",
            "--",
        ];
        assert_eq!(
            names(&node, &other),
            (Some(0), String::new(), String::new())
        );
    }
}

#[test]
fn a_node_that_hangs_holds_up_nobodys_line() {
    let node = options().start().unwrap();
    node.host().signal("STOP", node.pid()).unwrap();
    let begun = Instant::now();
    let told = names(&node, &[]);
    let took = begun.elapsed();
    node.host().signal("CONT", node.pid()).unwrap();
    assert_eq!(told, (Some(0), String::new(), String::new()));
    // 200 ms of patience, and what a loaded machine adds to starting a process.
    assert!(took.as_secs() < 2, "{took:?}");
}
