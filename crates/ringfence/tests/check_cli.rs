//! `ringfence check` on machines and nodes that really lack something: each in namespaces, or under a filter, of its own.
#![allow(clippy::unwrap_used)]

#[path = "node_cli/place.rs"]
#[allow(
    dead_code,
    reason = "shared with node_cli.rs, which uses the rest of it"
)]
mod place;

#[path = "check_cli/machine.rs"]
mod machine;
#[path = "check_cli/node.rs"]
mod node;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use place::{PATIENCE, Place, RINGFENCE, kill};
use serde_json::{Value, json};

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: {}
";

/// "Operation not permitted".
const EPERM: u32 = 1;

/// Checks that every machine which holds compartments passes.
const NEEDED: &[&str] = &[
    "landlock",
    "seccomp",
    "enforcer-walls",
    "descriptors",
    "memfd",
    "socket-origin",
    "peer-process",
    "workload-user",
    "base-trees",
    "namespaces",
    "id-maps",
    "network-settings",
    "loopback",
    "firewall-log",
    "firewall",
    "door-sockets",
    "steering",
    "namespace-limits",
    "proc",
    "root",
    "terminal",
    "capabilities",
    "limits",
    "compartment",
    "user",
    "container",
    "clock",
    "clock-kept",
    "open-files",
    "memory-free",
    "state-directory",
    "disk",
    "memory",
    "file-records",
];
/// What may be wanting on a machine that passes.
const MAY_WARN: &[&str] = &[
    "landlock",
    "peer-process",
    "id-mapped-mount",
    "clock-kept",
    "memory-free",
    "disk",
    "disk-files",
    "open-files",
    "memory",
];

/// An answer of `check -o json`.
struct Found {
    code: i32,
    checks: BTreeMap<String, (String, String, String)>,
}

impl Found {
    fn of(output: &Output) -> Self {
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let code = output.status.code().unwrap();
        let mut checks = BTreeMap::new();
        assert_eq!(keys(&answer), ["groups", "ok"]);
        for group in answer["groups"].as_array().unwrap() {
            assert_eq!(keys(group), ["checks", "name"]);
            for check in group["checks"].as_array().unwrap() {
                assert_eq!(keys(check), ["hint", "id", "outcome", "text"]);
                let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
                let (id, outcome, hint) = (text("id"), text("outcome"), text("hint"));
                let needs_hint = ["warn", "fail"].contains(&outcome.as_str());
                assert!(
                    needs_hint || ["ok", "info"].contains(&outcome.as_str()),
                    "{check}"
                );
                // One hint per failure, and none where nothing has to be done.
                assert_eq!(check["hint"].is_string(), needs_hint, "{check}");
                assert!(
                    !hint.contains('\n') && !text("text").contains('\n'),
                    "{check}"
                );
                let twice = checks.insert(id, (outcome, text("text"), hint));
                assert!(twice.is_none(), "{check} is there twice");
            }
        }
        let failed = checks.values().any(|(outcome, _, _)| outcome == "fail");
        assert_eq!(answer["ok"].as_bool(), Some(!failed));
        assert_eq!(code, if failed { 4 } else { 0 }, "{output:?}");
        Self { code, checks }
    }

    fn outcome(&self, id: &str) -> &str {
        self.checks.get(id).map_or("", |(outcome, _, _)| outcome)
    }

    /// That `id` ended so, and that text and hint together say all of `words`.
    fn says(&self, id: &str, outcome: &str, words: &[&str]) {
        assert_eq!(self.differs(id, outcome, words), None, "{:#?}", self.checks);
    }

    /// In which way it does not say so.
    fn differs(&self, id: &str, outcome: &str, words: &[&str]) -> Option<String> {
        let Some((found, text, hint)) = self.checks.get(id) else {
            return Some(format!("no {id}"));
        };
        let said = format!("{id}: {found}: {text} {hint}");
        let all = found == outcome && words.iter().all(|word| said.contains(word));
        (!all).then(|| format!("not {outcome} with {words:?}: {said}"))
    }

    fn failed(&self) -> Vec<&str> {
        let all = self.checks.iter();
        all.filter(|(_, (outcome, _, _))| outcome == "fail")
            .map(|(id, _)| id.as_str())
            .collect()
    }
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .env_remove("NO_COLOR")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap()
}

/// `check --pre` where nothing is, on this very machine.
fn pre(state: &Path) -> Output {
    let mut command = Command::new(RINGFENCE);
    run(command
        .args(["check", "--pre", "-o", "json", "--state"])
        .arg(state))
}

/// `check` of a place.
fn check(place: &Place) -> Found {
    let mut command = Command::new(RINGFENCE);
    Found::of(&run(command
        .args(["check", "-o", "json", "--state"])
        .arg(place.state())))
}

/// A shell in namespaces of its own, which runs `script`; `$RINGFENCE` is the binary, `$1` the state directory.
fn within(namespaces: &[&str], script: &str, state: &Path) -> Output {
    let mut command = Command::new("unshare");
    command
        .args(namespaces)
        .args(["sh", "-euc", script, "sh"])
        .arg(state)
        .env("RINGFENCE", RINGFENCE);
    run(&mut command)
}

/// As root, a mount namespace; as anyone else with a user namespace around it, in which we are nobody special.
fn mounts() -> &'static [&'static str] {
    if is_root() {
        &["-m"]
    } else {
        &["-U", "-r", "-m"]
    }
}

#[test]
fn people_get_groups_marks_and_one_hint_below_each_trouble() {
    let place = Place::new(ESTATE);
    let plain = |locale: &str| {
        let mut command = Command::new(RINGFENCE);
        command.args(["check", "--state"]).arg(place.state());
        let output = command
            .env("LC_ALL", locale)
            .env("TERM", "xterm")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4));
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = plain("C.UTF-8");
    // No colours for a pipe.
    assert!(!text.contains('\x1b'), "{text}");
    for heading in [
        "kernel\n------\n",
        "\nnode\n----\n",
        "not bounded or not recorded here",
    ] {
        assert!(text.contains(heading), "{heading}: {text}");
    }
    let lines: Vec<_> = text.lines().collect();
    let mut troubles = 0;
    for (at, line) in lines.iter().enumerate() {
        let is_hint = |at: usize| {
            lines
                .get(at)
                .is_some_and(|line| line.starts_with("  hint: "))
        };
        let trouble = line.starts_with("× ") || line.starts_with("‼ ");
        assert_eq!(trouble, is_hint(at + 1), "{line}");
        assert!(!(is_hint(at) && is_hint(at + 1)), "{line}");
        troubles += usize::from(trouble);
    }
    assert!(troubles >= 2, "{text}");
    assert!(text.contains("\n× no node is running"), "{text}");
    assert!(text.contains("1 check failed"), "{text}");

    let ascii = plain("C");
    let own = ascii
        .lines()
        .filter(|line| line.contains("no node is running"));
    assert_eq!(own.collect::<Vec<_>>().len(), 1);
    assert!(ascii.contains("\nfail no node is running"), "{ascii}");
    assert!(ascii.is_ascii(), "{ascii}");
}

#[test]
fn colours_are_for_terminals_and_not_where_forbidden() {
    let place = Place::new(ESTATE);
    let on_a_terminal = |forbidden: &str| {
        let line = format!(
            "{RINGFENCE} check --pre --state {}/none",
            place.state().display()
        );
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8");
        let output = command
            .env("NO_COLOR", forbidden)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(on_a_terminal("").contains("\x1b[32m√\x1b[0m"));
    let plain = on_a_terminal("1");
    assert!(plain.contains("√ ") && !plain.contains('\x1b'), "{plain}");
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let code = |arguments: &[&str]| {
        let mut command = Command::new(RINGFENCE);
        run(command.arg("check").args(arguments)).status.code()
    };
    assert_eq!(code(&["--pre", "--wait", "1s"]), Some(2));
    assert_eq!(code(&["--wait", "soon"]), Some(2));
    assert_eq!(code(&["-o", "xml"]), Some(2));
    assert_eq!(code(&["--config", "estate"]), Some(2));
    assert_eq!(code(&["--help"]), Some(0));
}

#[test]
fn every_check_has_its_section_in_the_manual() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/check.md");
    let manual = fs::read_to_string(manual).unwrap();
    let place = Place::new(ESTATE);
    let node = place.up();
    node.enforcer();
    let found = check(&place);
    let rare = [
        "apart",
        "launcher-group",
        "leftovers",
        "walls",
        "degraded",
        "landlock-scopes",
        "shared-user",
        "id-mapped-mount",
    ];
    for id in found.checks.keys().map(String::as_str).chain(rare) {
        assert!(manual.contains(&format!("\n### `{id}`\n")), "{id}");
    }
    // And no section is about a check that there is not.
    let known = |id: &str| found.checks.contains_key(id) || rare.contains(&id);
    let sections = manual.lines().filter_map(|line| line.strip_prefix("### `"));
    for id in sections.filter_map(|rest| rest.strip_suffix('`')) {
        assert!(known(id), "{id}");
    }
}
