//! `ringfence policy lint`: findings, their levels, and the forms they are printed in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn lint(args: &[&str]) -> Output {
    lint_in(Path::new("/"), args)
}

fn lint_in(here: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["policy", "lint"])
        .args(args)
        .current_dir(here)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A service that takes anyone (warning), whose owner is missing (warning) unless given, in `dir name/s.yaml`.
fn estate(spec: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("dir name")).unwrap();
    let text = format!(
        "apiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata:\n  name: s\nspec: {{protocol: http, port: 80, owner: x{spec}}}\n"
    );
    fs::write(root.path().join("dir name/ä.yaml"), text).unwrap();
    root
}

const LAPSED: &str =
    ", receive: [], endpoints: [{address: 'x:1'}], mutualAuth: {exempt: y, until: 2020-01-01}";
const OPEN: &str = "";

fn directory(root: &TempDir) -> String {
    root.path().to_str().unwrap().to_owned()
}

#[test]
fn prints_level_code_resource_place_and_fix() {
    let root = estate(OPEN);
    let output = lint(&["--config", &directory(&root)]);
    assert_eq!(
        stdout(&output),
        "warning [RF1104] (service s) it has no receive list, so whoever's policy names it gets in\n   \
         --> dir name/ä.yaml:4:9\n   \
         = help: add `receive: [{agent: NAME, operations: [...]}]` to it, or to its policy\n\n\
         1 service, 0 agents, 0 policies: no errors, 1 warning\n"
    );
    assert_eq!(output.stderr, b"");
}

#[test]
fn the_threshold_decides_the_exit_code_and_nothing_else() {
    for (spec, threshold, code) in [
        (OPEN, None, 0),
        (OPEN, Some("error"), 0),
        (OPEN, Some("warning"), 4),
        (OPEN, Some("info"), 4),
        (OPEN, Some("none"), 0),
        (LAPSED, None, 4),
        (LAPSED, Some("none"), 0),
    ] {
        let root = estate(spec);
        let directory = directory(&root);
        let mut args = vec!["--config", &directory];
        args.extend(
            threshold
                .into_iter()
                .flat_map(|level| ["--failure-threshold", level]),
        );
        let output = lint(&args);
        assert_eq!(output.status.code(), Some(code), "{spec} {threshold:?}");
        assert!(stdout(&output).contains("[RF110"), "{spec} {threshold:?}");
    }
}

#[test]
fn errors_come_first_and_findings_do_not_hide_them() {
    let root = estate(", receive: [{agent: nobody, operations: [GET /]}]");
    let output = lint(&["--config", &directory(&root), "--failure-threshold", "none"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("there is no agent called nobody"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn json_has_one_object_per_line_with_the_same_fields_for_errors_and_findings() {
    let keys = |line: &Value| {
        let mut keys: Vec<String> = line.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let lines = |root: &TempDir| -> Vec<Value> {
        let output = lint(&["--config", &directory(root), "-o", "json"]);
        stdout(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let found = lines(&estate(OPEN));
    assert_eq!(found.len(), 1);
    let first = &found[0];
    assert_eq!(first["level"], "warning");
    assert_eq!(first["code"], "RF1104");
    assert_eq!(first["resource"], "service s");
    assert_eq!(first["at"]["file"], "dir name/ä.yaml");
    assert_eq!(first["at"]["line"], 4);
    let wrong = lines(&estate(", onwer: x"));
    assert_eq!(wrong[0]["level"], "error");
    assert!(wrong[0]["code"].is_null());
    assert_eq!(keys(first), keys(&wrong[0]));
}

#[test]
fn a_comment_with_a_reason_lets_a_finding_stand() {
    for (comment, stands) in [
        ("# ringfence: allow RF1104 it is public\n", true),
        ("# ringfence: allow RF1104\n", false),
        ("# ringfence: allow RF1101 it is public\n", false),
    ] {
        let root = estate(OPEN);
        let file = root.path().join("dir name/ä.yaml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(
            &file,
            text.replace("  name: s\n", &format!("  {comment}  name: s\n")),
        )
        .unwrap();
        let output = lint(&["--config", &directory(&root), "--failure-threshold", "info"]);
        let said = stdout(&output);
        assert_eq!(
            output.status.code(),
            Some(if stands { 0 } else { 4 }),
            "{comment} {said}"
        );
        assert_eq!(said.contains("RF1104"), !stands, "{said}");
        assert_eq!(said.contains("1 let stand by comments"), stands, "{said}");
    }
}

/// What code scanning requires of a document (SARIF 2.1.0; GitHub, "SARIF support for code scanning").
#[test]
fn sarif_has_what_code_scanning_requires() {
    let root = estate(LAPSED);
    for (here, config, uri) in [
        (
            root.path(),
            ".".to_owned(),
            "dir%20name/%C3%A4.yaml".to_owned(),
        ),
        (
            root.path(),
            "dir name/".to_owned(),
            "dir%20name/%C3%A4.yaml".to_owned(),
        ),
        (
            root.path(),
            directory(&root),
            "dir%20name/%C3%A4.yaml".to_owned(),
        ),
        (
            Path::new("/"),
            directory(&root).trim_start_matches('/').to_owned(),
            format!("{}/dir%20name/%C3%A4.yaml", &directory(&root)[1..]),
        ),
        (
            Path::new("/usr"),
            directory(&root),
            format!("file://{}/dir%20name/%C3%A4.yaml", directory(&root)),
        ),
    ] {
        let output = lint_in(here, &["--config", &config, "-o", "sarif"]);
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(document["version"], "2.1.0");
        assert!(
            document["$schema"]
                .as_str()
                .unwrap()
                .ends_with("sarif-2.1.0.json")
        );
        let run = &document["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(run["tool"]["driver"]["name"], "ringfence");
        for rule in rules {
            for text in ["shortDescription", "fullDescription", "help"] {
                assert!(!rule[text]["text"].as_str().unwrap().is_empty(), "{rule}");
            }
            let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
            assert!(["error", "warning", "note"].contains(&level));
        }
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 1);
        for result in results {
            let index = result["ruleIndex"].as_u64().unwrap() as usize;
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            assert_eq!(result["level"], "error");
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(place["artifactLocation"]["uri"], uri, "{config}");
            assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
            assert!(place["region"]["startColumn"].as_u64().unwrap() >= 1);
        }
    }
    let broken = estate(", onwer: x");
    let output = lint(&["--config", &directory(&broken), "-o", "sarif"]);
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let result = &document["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "load");
    let index = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(
        document["runs"][0]["tool"]["driver"]["rules"][index]["id"],
        "load"
    );
}

#[test]
fn explains_a_code_by_its_page() {
    let output = lint(&["--explain", "rf1104"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("# RF1104: a service that takes whoever names it\n"));
    let output = lint(&["--explain", "RF9999"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_resources_say_is_not_obeyed_by_the_terminal() {
    let root = tempfile::tempdir().unwrap();
    let text = "apiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {name: s}\nspec: {protocol: http, port: 80, owner: x, receive: [], endpoints: [{address: 'x:1'}], mutualAuth: {exempt: \"a\u{202e}b\", until: 2999-01-01}}\n";
    fs::write(root.path().join("s.yaml"), text).unwrap();
    for form in ["text", "json", "sarif"] {
        let output = lint(&["--config", &directory(&root), "-o", form]);
        let said = stdout(&output);
        assert!(
            said.contains("RF1101") && !said.contains('\u{202e}'),
            "{form}: {said}"
        );
    }
}
