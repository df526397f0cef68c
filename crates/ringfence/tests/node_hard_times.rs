//! A node in hard times: an enforcer that hangs, what killed nodes leave behind, places with odd names.
#![allow(clippy::unwrap_used)]

#[path = "node_cli/place.rs"]
#[allow(
    dead_code,
    reason = "shared with node_cli.rs, which uses the rest of it"
)]
mod place;

use std::process::Command;

use place::{Place, RINGFENCE};
use ringfence_compartment::sockets;
use serde_json::Value;

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: {}
";

fn signal(name: &str, pid: u64) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

fn hangs(status: &Value) -> bool {
    let reasons = status["degraded"].as_array().unwrap();
    reasons
        .iter()
        .any(|degraded| degraded["reason"].as_str().unwrap().contains("answer"))
}

#[test]
fn an_enforcer_that_hangs_is_noticed_and_in_the_end_replaced() {
    let place = Place::new(ESTATE);
    let node = place.up();
    let enforcer = node.enforcer();
    // For a while: said, and taken back.
    signal("-STOP", enforcer);
    assert!(hangs(&place.until("noticed", hangs)));
    assert_eq!(place.status().0, 5);
    std::thread::sleep(std::time::Duration::from_secs(4));
    signal("-CONT", enforcer);
    place.until("answers", |status| !hangs(status));
    assert_eq!(node.enforcer(), enforcer);
    // For good: nobody has to be there to end it.
    signal("-STOP", enforcer);
    place.until("noticed again", hangs);
    place.until("replaced", |status| {
        status["enforcer"]["restarts"] == 1 && status["enforcer"]["serving"] == true
    });
    assert_ne!(node.enforcer(), enforcer);
    node.signal("-TERM");
    let (_, _, err) = node.end();
    for words in ["does not answer", "answers again", "killed by the node"] {
        assert!(err.contains(words), "{words}: {err}");
    }
    let events = place.events();
    assert!(
        events
            .iter()
            .any(|(operation, reason)| operation == "enforcer ended" && reason.contains("answer")),
        "{events:?}"
    );
}

#[test]
fn what_killed_nodes_left_in_run_is_swept_and_what_lives_is_not() {
    let (killed, living, next) = (Place::new(ESTATE), Place::new(ESTATE), Place::new(ESTATE));
    let mut node = killed.up();
    let left = sockets::socket_dir(&killed.state()).unwrap();
    if !left.starts_with("/run/ringfence") {
        return; // Only a node of root keeps its sockets outside its state.
    }
    let _living = living.up();
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    assert!(left.join("run.sock").exists());
    let _next = next.up();
    assert!(!left.exists(), "{} is left", left.display());
    assert_eq!(living.status().0, 0);
    assert_eq!(next.status().0, 0);
    // And the node that was killed starts again.
    let _again = killed.up();
    assert_eq!(killed.status().0, 0);
}

#[test]
fn the_command_it_suggests_works_from_everywhere_and_for_every_name() {
    let place = Place::new(ESTATE);
    let odd = "it's a\nstate";
    let child = Command::new(RINGFENCE)
        .current_dir(place.temp.path())
        .args(["up", "--config", "config", "--state", odd])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let node = place.serving(child);
    let line = &node.line;
    let next = line.trim_end().split_once("next: ").expect(line).1;
    let shown = next.strip_prefix("ringfence run --state ").unwrap();
    let shown = shown.strip_suffix(" NAME -- CMD").unwrap();
    let script = format!("printf '%s|' {shown}");
    let read = Command::new("bash").args(["-c", &script]).output().unwrap();
    let wanted = format!("{}|", place.temp.path().join(odd).display());
    assert_eq!(String::from_utf8(read.stdout).unwrap(), wanted, "{line}");
}

#[test]
fn a_lapsed_review_warns_and_changes_nothing() {
    let policy = |due: &str| {
        format!(
            "{ESTATE}---\napiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: clerk }}\nspec: {{ agent: \
             clerk, reviewBy: {due} }}\n"
        )
    };
    let place = Place::new(&policy("2999-01-01"));
    let _node = place.up();
    let lint = || {
        let mut lint = Command::new(RINGFENCE);
        lint.args(["policy", "lint", "--config"])
            .arg(place.config());
        let output = lint.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let noted = |status: &Value| status["notes"].to_string().contains("2020-01-31");
    assert!(!noted(&place.status().1));
    assert_eq!(lint(), (Some(0), String::new()));
    place.save(&policy("2020-01-31"));
    place.until("noted", noted);
    assert_eq!(place.status().0, 0);
    let (code, err) = lint();
    assert_eq!(code, Some(0));
    assert!(
        err.contains("estate.yaml:8:") && err.contains("2020-01-31"),
        "{err}"
    );
}
