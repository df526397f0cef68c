//! What the command line says of itself: help, manual pages, completion, colours, rehearsals, near words.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "observe_cli/logs.rs"]
mod logs;
#[path = "node_cli/place.rs"]
#[allow(dead_code)]
mod place;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use place::{Place, RINGFENCE};
use ringfence_model::flow::Outcome;
use tempfile::TempDir;

/// In a directory of its own, so that a name that is taken for a path leaves nothing behind.
fn run(args: &[&str]) -> Output {
    let here = tempfile::tempdir().unwrap();
    let output = Command::new(RINGFENCE)
        .current_dir(here.path())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if args.contains(&"--dry-run") {
        let left = fs::read_dir(here.path()).unwrap().count();
        assert_eq!(left, 0, "{args:?}");
    }
    output
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Every verb that is shown, groups too, as words.
fn verbs() -> Vec<Vec<String>> {
    fn below(prefix: &[String]) -> Vec<Vec<String>> {
        let mut args: Vec<&str> = prefix.iter().map(String::as_str).collect();
        args.push("--help");
        let help = out(&run(&args));
        let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
        let mut found = Vec::new();
        for line in listed.lines().take_while(|line| !line.is_empty()) {
            let indent = line.len() - line.trim_start().len();
            let name = line.split_whitespace().next().unwrap();
            if indent == 2 && name != "help" {
                let mut verb = prefix.to_vec();
                verb.push(name.to_owned());
                found.push(verb.clone());
                found.extend(below(&verb));
            }
        }
        found
    }
    below(&[])
}

fn estate() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("estate");
    let output = run(&["init", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    (root, directory)
}

/// That estate as one text.
fn whole(estate: &Path) -> String {
    let read = |name| fs::read_to_string(estate.join(name)).unwrap();
    ["services.yaml", "agents.yaml", "policies.yaml"]
        .map(read)
        .join("\n---\n")
}

#[test]
fn every_verb_teaches() {
    let verbs = verbs();
    assert!(verbs.len() >= 10, "{verbs:?}");
    let mut silent = Vec::new();
    for verb in verbs {
        let mut args: Vec<&str> = verb.iter().map(String::as_str).collect();
        args.push("--help");
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{verb:?}");
        let help = out(&output);
        let words = verb.join(" ");
        let example = format!("\n  ringfence {words} ");
        for (word, what) in [
            ("Example", "an example"),
            (&example, "an example of its own"),
            ("Exit code", "exit codes"),
            ("docs/", "a page to read on"),
        ] {
            if !help.contains(word) {
                silent.push(format!("{words} has not {what}"));
            }
        }
    }
    assert_eq!(silent, [""; 0]);
}

#[test]
fn manual_pages_are_there_for_every_verb_and_render_without_a_word() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("man1");
    let rehearsed = run(&["man", "--dir", dir.to_str().unwrap(), "--dry-run"]);
    assert_eq!(rehearsed.status.code(), Some(0));
    assert!(!dir.exists());
    let written = run(&["man", "--dir", dir.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0), "{}", err(&written));
    assert_eq!(
        out(&rehearsed).replace("would write", "wrote"),
        out(&written)
    );
    let mut wanted: Vec<String> = verbs()
        .iter()
        .map(|verb| format!("ringfence-{}.1", verb.join("-")))
        .collect();
    wanted.push("ringfence.1".to_owned());
    wanted.sort();
    let mut pages: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert_eq!(pages, wanted);
    for page in pages {
        let path = dir.join(&page);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{page}"
        );
        let Ok(output) = Command::new("groff")
            .args(["-k", "-Kutf8", "-man", "-ww", "-z", "-Tutf8"])
            .arg(&path)
            .output()
        else {
            continue;
        };
        assert!(output.status.success(), "{page}: {output:?}");
        assert_eq!(err(&output), "", "{page}");
    }
    // One page on standard output is the one that is installed.
    let one = run(&["man", "policy", "explain"]);
    assert_eq!(
        out(&one),
        fs::read_to_string(dir.join("ringfence-policy-explain.1")).unwrap()
    );
    let slip = run(&["man", "obsrve"]);
    assert_eq!(slip.status.code(), Some(2));
    assert!(
        err(&slip).contains("did you mean observe?"),
        "{}",
        err(&slip)
    );
    assert_eq!(run(&["man", "enforcer"]).status.code(), Some(2), "hidden");
}

#[test]
fn completion_scripts_are_what_their_shells_read() {
    let place = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = out(&output);
        for word in ["observe", "since", "protocol", "explain", "dry-run"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(
            !script.contains("enforcer"),
            "{shell}: hidden verbs stay hidden"
        );
        let file = place.path().join(shell);
        fs::write(&file, script).unwrap();
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(read) => {
                assert!(read.status.success(), "{shell}: {read:?}");
                assert_eq!(err(&read), "", "{shell}");
            }
            Err(error) => assert_ne!(shell, "bash", "{error}"),
        }
    }
    // And bash completes with it.
    let script = format!(
        "source {}; COMP_WORDS=(ringfence observe --si); COMP_CWORD=2; _ringfence ringfence --si observe; \
         echo \"${{COMPREPLY[@]}}\"; COMP_WORDS=(ringfence pol); COMP_CWORD=1; _ringfence ringfence pol ringfence; \
         echo \"${{COMPREPLY[@]}}\"",
        place.path().join("bash").display()
    );
    let completed = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(out(&completed), "--since\npolicy\n", "{completed:?}");
    assert_eq!(run(&["completion", "tcsh"]).status.code(), Some(2));
}

/// On a terminal, with these variables.
fn on_a_terminal(args: &[&str], environment: &[(&str, &str)]) -> String {
    let quoted: Vec<String> = std::iter::once(&RINGFENCE)
        .chain(args)
        .map(|word| format!("'{word}'"))
        .collect();
    let output = Command::new("script")
        .args(["-qec", &quoted.join(" "), "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// No verb writes an escape into a pipe or against `NO_COLOR`, whatever names and operations it is told to show.
#[test]
fn escapes_are_ours_and_only_where_they_are_wanted() {
    let nasty = "x\x1b[31m\u{202e}\u{9b}2J";
    let (state, _log) = logs::state(&[logs::flow(nasty, nasty, nasty, Outcome::Deny)]);
    let state = state.path().to_str().unwrap();
    let (_root, estate) = estate();
    let estate = estate.to_str().unwrap();
    let ask = ["policy", "explain", "--config", estate, "--from"];
    let mut lines: Vec<Vec<&str>> = vec![
        vec!["observe", "--state", state],
        vec!["observe", "--state", state, "-o", "table"],
        vec!["observe", "--state", state, "-o", "json"],
        vec!["observe", "--state", state, "--from", nasty],
        vec!["status", "--state", state],
        vec!["policy", "lint", "--config", estate],
        vec!["policy", "lint", "--config", nasty],
        [
            &ask[..],
            &["assistant", "--to", "library", "--op", "DELETE /books/1"],
        ]
        .concat(),
        [&ask[..], &[nasty, "--to", nasty, "--op", nasty]].concat(),
        [
            &ask[..],
            &["assistant", "--to", "library", "--op", nasty, "-o", "json"],
        ]
        .concat(),
        vec!["man", nasty],
        vec!["up", "--config", nasty, "--dry-run"],
        vec!["init", "--dry-run", nasty],
        vec!["completion", "bash"],
        vec!["--help"],
        vec!["observe", "--help"],
        vec!["observe", "--verdict", "denie"],
        vec!["obsreve"],
    ];
    for line in &mut lines {
        let output = run(line);
        for stream in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(stream);
            // What the parser repeats of a wrong word is the caller's own; nothing else comes from outside.
            assert!(
                !said.contains(['\x1b', '\u{202e}', '\u{9b}']),
                "{line:?}: {said:?}"
            );
        }
        let plain: Vec<&str> = line.iter().copied().filter(|word| *word != nasty).collect();
        if plain.len() == line.len() {
            let said = on_a_terminal(line, &[("NO_COLOR", "1")]);
            assert!(!said.contains('\x1b'), "{line:?}: {said:?}");
            let mut never = vec!["--color", "never"];
            never.extend(line.iter());
            let said = on_a_terminal(&never, &[]);
            assert!(!said.contains('\x1b'), "{line:?}: {said:?}");
        }
    }
    // And they do appear: for people, and where asked for.
    let coloured = [
        "policy",
        "explain",
        "--config",
        estate,
        "--from",
        "assistant",
        "--to",
        "library",
    ];
    assert!(on_a_terminal(&coloured, &[]).contains("\x1b[32mallow"));
    let always = [&["--color", "always"], &coloured[..]].concat();
    assert!(out(&run(&always)).contains("\x1b[32mallow"));
    assert!(on_a_terminal(&always, &[("NO_COLOR", "1")]).contains("\x1b[32mallow"));
    assert_eq!(
        run(&["--color", "sometimes", "status"]).status.code(),
        Some(2)
    );
}

/// Everything about a tree: names, modes, owners, sizes, times of change, contents.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let contents = if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        if meta.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let said = format!(
            "{:o} {} {} {}.{} {contents:?}",
            meta.mode(),
            meta.uid(),
            meta.size(),
            meta.ctime(),
            meta.ctime_nsec()
        );
        found.insert(path, said);
    }
    found
}

#[test]
fn a_dry_run_changes_nothing() {
    let (root, estate) = estate();
    let root = root.path();
    let config = estate.to_str().unwrap();
    let fresh = root.join("state");
    let fresh = fresh.to_str().unwrap();
    let used = Place::new(&whole(&estate));
    let node = used.up();
    node.signal("-TERM");
    assert_eq!(node.end().0, Some(0));
    let used_config = used.config();
    let (used_state, used_config) = (used.state(), used_config.to_str().unwrap());

    let before = (tree(root), tree(used.temp.path()));
    let new = root.join("new/one");
    let output = run(&["init", "--dry-run", new.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(out(&output).matches("would write").count(), 4);
    assert_eq!(
        run(&["init", "--dry-run", config]).status.code(),
        Some(1),
        "exists"
    );

    let output = run(&["up", "--dry-run", "--config", config, "--state", fresh]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(
        out(&output),
        format!(
            "dry run: would enforce services 1, agents 1, policies 1 of {config} · state {fresh}, which would be made · \
             nothing was changed\n"
        )
    );
    let used_state = used_state.to_str().unwrap();
    let output = run(&[
        "up",
        "--dry-run",
        "--config",
        used_config,
        "--state",
        used_state,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!((tree(root), tree(used.temp.path())), before);
}

#[test]
fn a_dry_run_of_up_finds_what_would_refuse_it() {
    let (root, estate) = estate();
    let state = root.path().join("state");
    let rehearse = |config: &Path, state: &Path| {
        let output = run(&[
            "up",
            "--dry-run",
            "--config",
            config.to_str().unwrap(),
            "--state",
            state.to_str().unwrap(),
        ]);
        (output.status.code().unwrap(), err(&output))
    };
    // Files that are rejected, first with nothing to fall back on.
    let place = Place::new(&whole(&estate));
    place.save("kind: Service\nmetadata: {nam: x}\n");
    let (code, said) = rehearse(&place.config(), &place.state());
    assert_eq!(code, 1);
    assert!(
        said.contains("estate.yaml:2") && said.contains("everything would be denied"),
        "{said}"
    );
    assert!(said.contains("help: mend them"), "{said}");
    place.save(&whole(&estate));
    let node = place.up();
    // In use.
    let (code, said) = rehearse(&place.config(), &place.state());
    assert_eq!(code, 1);
    assert!(
        said.contains(&format!(
            "in use by another `ringfence up` (process {})",
            node.child.id()
        )),
        "{said}"
    );
    // Unless it is to be replaced; it serves on.
    let takeover = run(&[
        "up",
        "--takeover",
        "--dry-run",
        "--config",
        place.config().to_str().unwrap(),
        "--state",
        place.state().to_str().unwrap(),
    ]);
    assert_eq!(takeover.status.code(), Some(0), "{}", err(&takeover));
    assert_eq!(place.status().1["pid"], node.child.id());
    node.signal("-TERM");
    node.end();
    place.save("kind: Service\nmetadata: {nam: x}\n");
    let (code, said) = rehearse(&place.config(), &place.state());
    assert_eq!(code, 1);
    assert!(
        said.contains("last good generation of an earlier run would serve"),
        "{said}"
    );

    let (code, said) = rehearse(&root.path().join("nowhere"), &state);
    assert_eq!(code, 1);
    assert!(
        said.contains("is not there") && said.contains("ringfence init DIR"),
        "{said}"
    );
    let (code, said) = rehearse(&estate, &estate.join("state"));
    assert_eq!(code, 1);
    assert!(said.contains("inside one another"), "{said}");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = rehearse(&estate, &state);
    assert_eq!(code, 1);
    assert!(
        said.contains("is open to others") && said.contains("chmod 700"),
        "{said}"
    );
}

#[test]
fn a_slip_of_the_keyboard_is_answered_with_the_near_word() {
    let (_root, estate) = estate();
    let estate = estate.to_str().unwrap();
    for (args, code, word) in [
        (&["obsreve"][..], 2, "'observe'"),
        (&["observe", "--sinse", "10m"], 2, "'--since'"),
        (&["observe", "-o", "tabel"], 2, "'table'"),
        (&["policy", "explian"], 2, "'explain'"),
        (
            &[
                "policy", "explain", "--config", estate, "--from", "asistant", "--to", "library",
            ],
            3,
            "help: asistant is not in",
        ),
        (
            &[
                "policy",
                "explain",
                "--config",
                estate,
                "--from",
                "assistant",
                "--to",
                "libary",
                "--op",
                "GET /",
            ],
            3,
            "did you mean library?",
        ),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(err(&output).contains(word), "{args:?}: {}", err(&output));
    }
}

/// What a denial shows below itself, on the log of a real node, pasted into a shell.
#[test]
fn the_command_below_a_denial_answers_from_the_nodes_own_files() {
    let (_root, files) = estate();
    let place = Place::new(&whole(&files));
    let node = place.up();
    node.signal("-TERM");
    assert_eq!(node.end().0, Some(0));
    // The node is gone; its log takes a record as its enforcer would have made it.
    let log = ringfence_audit::Log::open(&place.state().join("log")).unwrap();
    log.record(&logs::flow(
        "assistant",
        "library",
        "DELETE /books/o'brien",
        Outcome::Deny,
    ))
    .unwrap();
    drop(log);
    let shown = out(&logs::observe(
        &place.state(),
        &["--explain", "--verdict", "deny"],
    ));
    let command = shown
        .lines()
        .find_map(|line| line.strip_prefix("    "))
        .unwrap();
    assert!(
        command.contains(&format!("--config {}", place.config().display())),
        "{command}"
    );
    let path = Path::new(RINGFENCE).parent().unwrap().display().to_string();
    let mut shell = Command::new("sh")
        .current_dir("/")
        .env("PATH", format!("{path}:/usr/bin:/bin"))
        .env_remove("RINGFENCE_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(format!("    {command}\n").as_bytes())
        .unwrap();
    let output = shell.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = out(&output);
    assert!(
        said.starts_with("deny  assistant → library : DELETE /books/o'brien\n")
            && said.contains("nearest  estate.yaml:"),
        "{said}"
    );
    // Typed by hand, the node's directory is found as well, by its state.
    let state = place.state();
    let by_state = run(&[
        "policy",
        "explain",
        "--state",
        state.to_str().unwrap(),
        "--from",
        "assistant",
        "--to",
        "library",
    ]);
    assert_eq!(by_state.status.code(), Some(0), "{}", err(&by_state));
    let nowhere = tempfile::tempdir().unwrap();
    let none = run(&[
        "policy",
        "explain",
        "--state",
        nowhere.path().to_str().unwrap(),
        "--from",
        "a",
        "--to",
        "b",
    ]);
    assert_eq!(none.status.code(), Some(2));
    assert!(err(&none).contains("RINGFENCE_CONFIG"), "{}", err(&none));
}
