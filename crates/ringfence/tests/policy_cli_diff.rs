//! `ringfence policy diff` as a reviewer and a pipeline run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod policy_cli_support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use policy_cli_support::{estate, lines, stderr, stdout};

const ESTATE: &str = r#"apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: library }
spec: { protocol: http, port: 80 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: assistant }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: assistant }
spec:
  agent: assistant
  owner: team-a
  initiate:
    - service: library
      operations: ["GET /books/*"]
"#;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.args(["policy", "diff"]).args(args);
    command.env_remove("RINGFENCE_CONFIG");
    command
}

fn diff(old: &Path, new: &Path, args: &[&str]) -> Output {
    command(args).arg(old).arg(new).output().unwrap()
}

#[test]
fn a_wider_rule_is_told_with_an_example_and_fails_only_where_asked() {
    let old = estate(ESTATE);
    let new = estate(
        &ESTATE
            .replace("GET /books/*", "GET /books/**")
            .replace("team-a", "team-b"),
    );
    let output = diff(old.path(), new.path(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "opened     assistant → library : GET /books/**  except GET /books/*\n             such as GET /books\n\nnote  policy assistant owner  team-a → team-b\n\n1 opened, 1 note\n"
    );
    let code = |old: &TempDir, new: &TempDir, on: &str| {
        let output = diff(old.path(), new.path(), &["--fail-on", on]);
        output.status.code()
    };
    assert_eq!(code(&old, &new, "widened"), Some(3));
    assert_eq!(code(&old, &new, "any"), Some(3));
    assert_eq!(code(&new, &old, "widened"), Some(0));
    assert_eq!(code(&new, &old, "any"), Some(3));
    assert_eq!(code(&old, &old, "any"), Some(0));
    // Words for people are no difference to a pipeline.
    let owner = estate(&ESTATE.replace("team-a", "team-b"));
    assert_eq!(code(&old, &owner, "any"), Some(0));
}

#[test]
fn the_same_meaning_in_other_words_is_no_difference() {
    let old = estate(ESTATE);
    let root = tempfile::tempdir().unwrap();
    let documents: Vec<&str> = ESTATE.split("---\n").collect();
    fs::create_dir(root.path().join("deep")).unwrap();
    for (index, document) in documents.iter().enumerate() {
        let text = format!("# moved\n{document}")
            .replace("\"GET /books/*\"", "\"GET /books/{id}\", \"GET /books/1\"");
        fs::write(root.path().join(format!("deep/{index}.yml")), text).unwrap();
    }
    let output = diff(old.path(), root.path(), &["--fail-on", "any"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), "no operation is decided differently\n");
    // Single files do as well.
    let file = old.path().join("estate.yaml");
    let output = diff(&file, root.path(), &["-o", "json"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "")
    );
}

#[test]
fn json_says_everything_of_a_row_and_facts_beside() {
    let old = estate(ESTATE);
    let new = estate(
        &ESTATE
            .replace(
                "operations: [\"GET /books/*\"]",
                "operations: [{ allow: \"GET /books/*\", when: \"task == 'x'\", until: 2999-01-01 }]",
            )
            .replace("port: 80 }", "port: 81 }"),
    );
    let found = lines(&diff(old.path(), new.path(), &["-o", "json"]));
    assert_eq!(found.len(), 2, "{found:#?}");
    let row = &found[0];
    assert_eq!(
        (
            &row["row"],
            &row["effect"],
            &row["operation"],
            &row["example"]
        ),
        (
            &"operation".into(),
            &"tightened".into(),
            &"GET /books/*".into(),
            &"GET /books/x".into()
        )
    );
    assert_eq!(row["other"][0]["when"][0], "task == 'x'");
    assert_eq!(row["other"][0]["until"], "2999-01-01");
    assert_eq!(
        (&row["certain"], &row["rule"]["line"]),
        (&true.into(), &18.into())
    );
    assert_eq!(
        (&found[1]["row"], &found[1]["what"], &found[1]["direction"]),
        (&"fact".into(), &"port".into(), &"unknown".into())
    );
    // What may be either is not let through.
    let port = estate(&ESTATE.replace("port: 80 }", "port: 81 }"));
    let output = diff(old.path(), port.path(), &["--fail-on", "widened"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn what_others_wrote_is_no_markup_in_a_pull_request() {
    let old = estate(ESTATE);
    let new = estate(
        &ESTATE
            .replace(
                "\"GET /books/*\"",
                "{ allow: \"GET /x|`y\", when: \"task == '`|<b>@all'\" }",
            )
            .replace("team-a", "\"a | `b` [x](http://y)\""),
    );
    let output = diff(old.path(), new.path(), &["-o", "markdown"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for line in said.lines().filter(|line| line.starts_with('|')) {
        // Cells are divided by bars without a backslash before them.
        let bars = line.replace("\\|", "").matches('|').count();
        assert!(bars == 6 || bars == 4, "{line}");
    }
    assert!(said.contains("`` when task == '`\\|<b>@all' ``"), "{said}");
    assert!(said.contains("**Policy, from `"), "{said}");
}

#[test]
fn a_revision_of_git_is_compared_without_touching_the_work_tree() {
    let root = estate(ESTATE);
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(root.path())
            .args(["-c", "user.name=x", "-c", "user.email=x@localhost"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    git(&["init", "-q"]);
    fs::create_dir_all(root.path().join("estate/deep/.hidden")).unwrap();
    fs::rename(
        root.path().join("estate.yaml"),
        root.path().join("estate/deep/a.yaml"),
    )
    .unwrap();
    fs::write(root.path().join("estate/deep/.hidden/b.yaml"), "kind: [").unwrap();
    fs::write(root.path().join("broken.yaml"), "kind: [").unwrap();
    git(&["add", "-A"]);
    git(&["commit", "-qm", "one"]);
    let place = root.path().join("estate");
    fs::write(
        place.join("deep/a.yaml"),
        ESTATE.replace("GET /books/*", "* /books/*"),
    )
    .unwrap();
    let before = git(&["status", "--porcelain"]);
    let ask = |revision: &str, path: &Path| {
        command(&[&format!("--git={revision}"), "-o", "json"])
            .arg(path)
            .output()
            .unwrap()
    };
    for path in [place.clone(), place.join("deep/a.yaml")] {
        let output = ask("HEAD", &path);
        let found = lines(&output);
        assert_eq!(found.len(), 1, "{} {found:?}", stderr(&output));
        assert_eq!(found[0]["effect"], "opened");
        assert_eq!(found[0]["operation"], "* /books/*");
    }
    assert_eq!(git(&["status", "--porcelain"]), before);
    for (revision, code, words) in [
        ("nowhere", 1, "git does not show nowhere"),
        ("--output=x", 2, "is no revision"),
        ("", 2, "is no revision"),
    ] {
        let output = ask(revision, &place);
        assert_eq!(output.status.code(), Some(code), "{revision}");
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    // What does not load in the revision is told as that.
    let output = ask("HEAD", &root.path().join("broken.yaml"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("in HEAD does not load"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_does_not_load_or_is_not_said_is_an_error_of_its_own() {
    let (good, bad) = (estate(ESTATE), estate("kind: ["));
    for (old, new) in [(&good, &bad), (&bad, &good)] {
        let output = diff(old.path(), new.path(), &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("does not load, so nothing is compared"));
        assert_eq!(stdout(&output), "");
    }
    let absent = good.path().join("absent");
    assert_eq!(diff(good.path(), &absent, &[]).status.code(), Some(1));
    let path = good.path().to_str().unwrap();
    for args in [
        &[][..],
        &[path][..],
        &["--git", "HEAD", path, path][..],
        &["--git", "HEAD"][..],
    ] {
        let output = command(args).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?} {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("help: name"),
            "{}",
            stderr(&output)
        );
    }
    let state = tempfile::tempdir().unwrap();
    let output = command(&["--running", "--state"])
        .arg(state.path())
        .arg(path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no node has put a generation in force"));
    // A test that fails keeps nobody from comparing, and is told.
    let failing = estate(&format!(
        "{ESTATE}---\napiVersion: ringfence.dev/v1alpha1\nkind: Test\nmetadata: {{ name: t }}\nspec: {{ from: assistant, unreachable: library }}\n"
    ));
    let output = diff(good.path(), failing.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).contains("1 of its tests do not hold"),
        "{}",
        stderr(&output)
    );
}

/// People are shown so many rows; programs get all.
#[test]
fn a_thousand_rows_are_shown_and_those_beyond_are_counted() {
    let old = estate(ESTATE);
    for (count, more) in [(999, ""), (1_000, "1 more; -o json tells all\n")] {
        let rules: Vec<String> = (0..count).map(|n| format!("\"GET /p{n}\"")).collect();
        let text = ESTATE.replace("\"GET /books/*\"", &rules.join(", "));
        let new = estate(&text.replace("team-a", "team-b"));
        let output = diff(old.path(), new.path(), &[]);
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let rows = said.lines().filter(|it| it.contains(" → library : "));
        assert_eq!(rows.count(), 1_000);
        let end = format!("team-a → team-b\n\n{more}{count} opened, 1 closed, 1 note\n");
        assert!(said.ends_with(&end), "{}", &said[said.len() - 200..]);
        let output = diff(old.path(), new.path(), &["-o", "markdown"]);
        let said = stdout(&output);
        assert_eq!(
            said.ends_with("\n1 more: `ringfence policy diff -o json` tells all.\n"),
            !more.is_empty()
        );
        let rows = said.lines().filter(|it| it.contains(" → library"));
        assert_eq!(rows.count(), 1_000);
        let output = diff(old.path(), new.path(), &["-o", "json"]);
        assert_eq!(lines(&output).len(), count + 2);
    }
}

#[test]
fn a_websocket_is_told_as_what_it_is() {
    let old = estate(&ESTATE.replace("GET /books/*", "* /**"));
    let new = estate(&ESTATE.replace("\"GET /books/*\"", "\"* /**\", \"WEBSOCKET /feed\""));
    let output = diff(old.path(), new.path(), &["--fail-on", "widened"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "opened     assistant → library : WEBSOCKET /feed\n             such as WEBSOCKET /feed\n\n1 opened\n"
    );
    let output = diff(new.path(), old.path(), &["-o", "json"]);
    let rows = lines(&output);
    assert_eq!(
        (
            &rows[0]["effect"],
            &rows[0]["operation"],
            &rows[0]["example"]
        ),
        (
            &"closed".into(),
            &"WEBSOCKET /feed".into(),
            &"WEBSOCKET /feed".into()
        )
    );
}
