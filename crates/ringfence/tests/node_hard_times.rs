//! A node in hard times: an enforcer that hangs, what killed nodes leave behind, places with odd names.
#![allow(clippy::unwrap_used)]

#[path = "node_cli/place.rs"]
#[allow(
    dead_code,
    reason = "shared with node_cli.rs, which uses the rest of it"
)]
mod place;

use std::fs;
use std::process::{Command, Stdio};

use place::{PATIENCE, Place, RINGFENCE};
use ringfence_compartment::link::{LINK_VERSION, ToLauncher};
use ringfence_compartment::{channel, sockets};
use serde_json::{Value, json};

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

/// Starts `up` on the state of `place`, and waits for nothing.
fn spawn(place: &Place) -> std::process::Child {
    let mut up = Command::new(RINGFENCE);
    up.arg("up").arg("--config").arg(place.config());
    up.arg("--state").arg(place.state());
    up.stdin(Stdio::null());
    up.stdout(Stdio::piped()).stderr(Stdio::piped());
    up.spawn().unwrap()
}

/// Its output and its end, which must come.
fn ended(mut child: std::process::Child) -> std::process::Output {
    let end = std::time::Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if std::time::Instant::now() > end {
            child.kill().unwrap();
            panic!("it goes on: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
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
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let noted = |status: &Value| status["notes"].to_string().contains("2020-01-31");
    assert!(!noted(&place.status().1));
    let (code, found) = lint();
    assert_eq!(code, Some(0));
    assert!(!found.contains("[RF1203]"), "{found}");
    place.save(&policy("2020-01-31"));
    place.until("noted", noted);
    assert_eq!(place.status().0, 0);
    let (code, found) = lint();
    assert_eq!(code, Some(0));
    let overdue = "[RF1203] (policy clerk) the review was due on 2020-01-31";
    assert!(
        found.contains(overdue) && found.contains("estate.yaml:8:"),
        "{found}"
    );
}

#[test]
fn of_twenty_starts_at_once_one_serves_and_the_others_name_it() {
    let place = Place::new(ESTATE);
    let mut started: Vec<_> = (0..20).map(|_| spawn(&place)).collect();
    let end = std::time::Instant::now() + PATIENCE;
    let mut refused = Vec::new();
    while refused.len() < 19 {
        assert!(std::time::Instant::now() < end, "{} refused", refused.len());
        let over = started
            .iter_mut()
            .position(|child| child.try_wait().unwrap().is_some());
        match over {
            Some(at) => refused.push(started.remove(at).wait_with_output().unwrap()),
            None => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    let node = place.serving(started.remove(0));
    assert!(node.line.contains("is up"), "{}", node.line);
    let holder = format!("(process {})", node.child.id());
    for output in refused {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(output.stdout.is_empty() && err.contains(&holder), "{err}");
    }
    assert_eq!(place.status().0, 0);
}

#[test]
fn a_stopped_node_keeps_its_state_and_a_killed_one_does_not() {
    let place = Place::new(ESTATE);
    let mut node = place.up();
    node.signal("-STOP");
    let refused = ended(spawn(&place));
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use"));
    node.child.kill().unwrap();
    // At once: what it held goes with it.
    let next = spawn(&place);
    let end = next.id();
    node.child.wait().unwrap();
    drop(node);
    let node = match place.serving(next) {
        node if node.line.is_empty() => place.up(), // The killed one was still on its way out.
        node => node,
    };
    assert!(node.line.contains("is up"), "{end}: {}", node.line);
    // The same configuration may be served from another state.
    let other = Place::new(ESTATE);
    fs::remove_dir_all(other.config()).unwrap();
    std::os::unix::fs::symlink(place.config(), other.config()).unwrap();
    let _other = other.up();
    assert_eq!((place.status().0, other.status().0), (0, 0));
}

#[test]
fn a_state_of_a_newer_format_is_left_alone() {
    let place = Place::new(ESTATE);
    let node = place.up();
    node.signal("-TERM");
    node.end();
    let newer = "{\"format\":7,\"writtenBy\":\"9.2.0\"}\n";
    fs::write(place.state().join("format.json"), newer).unwrap();
    let files = |place: &Place| {
        let all = fs::read_dir(place.state()).unwrap();
        let mut all: Vec<_> = all
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect();
        all.sort();
        all
    };
    let before = files(&place);
    let refused = ended(spawn(&place));
    let err = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        err.contains("newer ringfence, 9.2.0, in format 7")
            && err.contains("help: start that version"),
        "{err}"
    );
    assert_eq!(files(&place), before);
}

#[test]
fn a_node_whose_state_is_moved_away_ends() {
    let place = Place::new(ESTATE);
    let mut node = place.up();
    fs::rename(place.state(), place.temp.path().join("moved")).unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    while node.child.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < end, "it goes on");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let (code, _, err) = node.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("was moved away"), "{err}");
    assert!(place.up().line.contains("is up"));
}

#[test]
fn an_enforcer_that_keeps_ending_is_said_once_and_so_is_its_recovery() {
    let place = Place::new(ESTATE);
    let node = place.up();
    for restarts in 1..=7 {
        signal("-KILL", node.enforcer());
        place.until("another one", |status| {
            status["enforcer"]["restarts"] == restarts
        });
    }
    let loops = |status: &Value| {
        status["degraded"]
            .to_string()
            .contains("keeps ending, 7 times")
    };
    node.enforcer();
    assert!(loops(&place.status().1));
    assert_eq!(place.status().0, 5);
    place.until("steady", |status| status["degraded"] == json!([]));
    node.signal("-TERM");
    let (_, _, err) = node.end();
    let said = |words: &str| err.matches(words).count();
    assert_eq!(
        (
            said("has ended"),
            said("is up again"),
            said("keeps ending"),
            said("stays up again")
        ),
        (4, 4, 1, 1),
        "{err}"
    );
    let events = place.events();
    let ended = events.iter().filter(|(what, _)| what == "enforcer ended");
    assert_eq!(ended.count(), 7, "{events:?}");
    assert!(events.iter().any(|(what, _)| what == "enforcer steady"));
}

#[test]
fn a_launcher_of_another_version_is_refused_in_words_to_both_sides() {
    let place = Place::new(ESTATE);
    let node = place.up();
    for _ in 0..3 {
        let socket = place.connect();
        // Nothing else in it is as this version has it.
        let claim = json!({ "say": "request", "version": LINK_VERSION + 1, "who": "clerk" });
        channel::send(&socket, &claim, &[]).unwrap();
        let answer = channel::recv(&socket).unwrap().unwrap().message;
        let ToLauncher::Refused { reason, hint } = answer else {
            panic!("{answer:?}");
        };
        assert!(
            reason.contains("speaks version") && hint.contains("--takeover"),
            "{reason} {hint}"
        );
    }
    // What this version does not know, and need not know, is passed over.
    let socket = place.connect();
    let claim = json!({
        "say": "claim", "version": LINK_VERSION, "name": "clerk", "command": "x", "resume": null, "more": [1]
    });
    channel::send(&socket, &claim, &[]).unwrap();
    let answer = channel::recv::<ToLauncher>(&socket)
        .unwrap()
        .unwrap()
        .message;
    assert!(matches!(answer, ToLauncher::Granted(_)), "{answer:?}");
    node.signal("-TERM");
    let (_, _, err) = node.end();
    assert_eq!(err.matches("speaks version").count(), 1, "{err}");
    let told = place.events();
    let told = told
        .iter()
        .filter(|(_, reason)| reason.contains("speaks version"));
    assert_eq!(told.count(), 1);
}

#[test]
fn an_instance_without_doors_makes_the_node_degraded() {
    let place = Place::new(ESTATE);
    let _node = place.up();
    let (launcher, grant) = place.granted("clerk", None);
    let unreached = |status: &Value| {
        let said = status["degraded"].to_string();
        said.contains(&*grant.instance.0) && said.contains("cannot be reached")
    };
    assert!(!unreached(&place.status().1));
    place.until("said", unreached);
    assert_eq!(place.status().0, 5);
    drop(launcher);
}
