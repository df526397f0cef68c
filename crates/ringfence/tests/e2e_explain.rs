//! From a denial to its reason: what a live door refused, shown by `observe`, explained by the command below it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the support is shared")]

mod e2e_support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use e2e_support::{BINARY, curl, start, vault, web};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use serde_json::Value;

/// A shell line with our binary on its path. Runs as whoever runs the tests, whose node it is.
fn shell(line: &str) -> (Option<i32>, String, String) {
    let path = Path::new(BINARY).parent().unwrap().display().to_string();
    let output = Command::new("sh")
        .args(["-c", line])
        .env("PATH", format!("{path}:/usr/bin:/bin"))
        .env_remove("RINGFENCE_CONFIG")
        .current_dir("/")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn every_denial_between_workloads_is_explained_by_the_command_below_it() {
    let node = start();
    let _web = web(&node);
    let _vault = vault(&node);
    curl(&node, &["http://web:8080/items/1"]);
    curl(&node, &["-X", "DELETE", "http://web:8080/items/o'brien"]);
    // Its name does not resolve, and its address resets.
    curl(&node, &["http://vault:8080/"]);
    let address = node
        .run("vault", &["dig", "+short", "vault", "A"])
        .unwrap()
        .ok()
        .stdout;
    let address = address.split_whitespace().next().unwrap().to_owned();
    curl(&node, &[&format!("http://{address}:8080/")]);
    let denied = |r: &FlowRecord| r.outcome == Outcome::Deny && !r.destination.is_empty();
    node.wait_for_flow(|r| denied(r) && r.kind == RecordKind::Connection)
        .unwrap();
    let records = node.flows_where(0, denied).unwrap();
    assert!(records.len() >= 3, "{records:?}");

    let state = node.state().display();
    let (code, shown, said) = shell(&format!(
        "ringfence observe --state {state} --explain --verdict deny --from agent"
    ));
    assert_eq!(code, Some(0), "{said}");
    let commands: BTreeSet<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    let config = node.config().display();
    let start = format!("ringfence policy explain --config {config} --from agent --to");
    assert_eq!(
        commands,
        BTreeSet::from([
            format!("{start} vault").as_str(),
            format!("{start} web --op 'DELETE /items/o'\\''brien'").as_str(),
        ]),
        "{shown}"
    );
    for command in commands {
        let (code, told, said) = shell(command);
        assert_eq!(code, Some(3), "{command}: {said}");
        let reason = told
            .lines()
            .find_map(|line| line.trim().strip_prefix("reason "));
        let reason = reason.unwrap_or_else(|| panic!("{command}: {told}")).trim();
        // The door gave the same reason, and named the nearest rule where there is one.
        let of_the_door = records.iter().filter(|r| r.reason.starts_with(reason));
        let of_the_door: Vec<_> = of_the_door.collect();
        assert!(!of_the_door.is_empty(), "{reason}: {records:?}");
        if let Some(nearest) = told
            .lines()
            .find_map(|line| line.trim().strip_prefix("nearest "))
        {
            let nearest = nearest.trim();
            assert!(
                of_the_door
                    .iter()
                    .any(|r| r.reason.contains(&format!("nearest rule {nearest}"))),
                "{nearest}: {records:?}"
            );
        }
    }

    // All of it at once, as questions: policy has not changed, so nothing is decided differently.
    let (code, answers, said) = shell(&format!(
        "ringfence observe --state {state} --not --kind event -o json | ringfence policy explain --state {state} --batch -"
    ));
    assert_eq!(code, Some(0), "{said}");
    let answers: Vec<Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let asked = answers
        .iter()
        .filter(|a| a["was"] == "allow" || a["was"] == "deny");
    assert!(asked.clone().count() >= 5, "{answers:?}");
    for answer in asked {
        assert_eq!(answer["outcome"], answer["was"], "{answer}");
    }
}
