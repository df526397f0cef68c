//! `ringfence audit verify|proof|checkpoint`, on the log of a real node, and by verifiers that nobody here wrote.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "a test that cannot go on has failed; the place is shared"
)]

#[path = "observe_cli/logs.rs"]
mod logs;
#[path = "node_cli/place.rs"]
mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use place::Place;
use ringfence_audit::tree::Keeper;
use ringfence_model::flow::Outcome;
use serde_json::Value;
use tempfile::TempDir;

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: customer-data }
spec: { protocol: http, port: 8080, owner: crm-team }
";

fn audit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .arg("audit")
        .args(args)
        .output()
        .unwrap()
}

fn verify(state: &Path, args: &[&str]) -> (Option<i32>, Value, String) {
    let mut all = vec!["verify", "-o", "json", "--state", state.to_str().unwrap()];
    all.extend(args);
    let output = audit(&all);
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A stopped node's state, with so many records that are signed.
fn signed(count: usize) -> TempDir {
    let flows: Vec<_> = (0..count)
        .map(|n| {
            logs::flow(
                "customer-service",
                "customer-data",
                &format!("GET /customers/{n}"),
                Outcome::Allow,
            )
        })
        .collect();
    let (state, log) = logs::state(&flows);
    drop(log);
    let mut keeper = Keeper::open(&state.path().join("log"), "bank-1").unwrap();
    while keeper.turn().unwrap() {}
    state
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_real_node_signs_while_it_runs_and_when_it_stops() {
    let place = Place::new(ESTATE);
    let node = place.up();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let (code, report, said) = verify(&place.state(), &[]);
        if code == Some(0) && report["signed"].as_u64() > Some(1) && report["unsigned"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "{report}\n{said}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let kept = place.state().join("kept");
    std::fs::write(
        &kept,
        &audit(&["checkpoint", "--state", place.state().to_str().unwrap()]).stdout,
    )
    .unwrap();
    node.signal("-TERM");
    assert_eq!(node.end().0, Some(0));
    let (code, report, said) = verify(&place.state(), &["--checkpoint", kept.to_str().unwrap()]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{report}");
    assert_eq!(
        report["unsigned"], 0,
        "what it recorded while it stopped is signed too"
    );
    let last = place.events().last().unwrap().0.clone();
    assert_eq!(last, "node stopped");

    // A second run goes on with the same tree.
    let node = place.up();
    node.signal("-TERM");
    node.end();
    let (code, again, _) = verify(&place.state(), &["--checkpoint", kept.to_str().unwrap()]);
    assert_eq!((code, &again["log"]), (Some(0), &report["log"]));
    assert!(again["signed"].as_u64() > report["signed"].as_u64());
}

#[test]
fn a_changed_record_is_exit_6_and_named() {
    let state = signed(300);
    let (code, report, _) = verify(state.path(), &[]);
    assert_eq!(
        (code, &report["ok"], &report["checked"]),
        (Some(0), &Value::Bool(true), &300.into())
    );
    let segment = logs::segment(state.path());
    let mut bytes = std::fs::read(&segment).unwrap();
    let slot = logs::slots(&bytes)[123];
    let length = usize::from(bytes[slot]) | usize::from(bytes[slot + 1]) << 8;
    let leaf = slot + 8..slot + 8 + length;
    let at = leaf.start
        + bytes[leaf.clone()]
            .windows(5)
            .position(|w| w == b"/123x" || w == b"s/123")
            .unwrap();
    bytes[at + 4] = b'4';
    let sum = crc32c::crc32c(&bytes[leaf]).to_le_bytes();
    bytes[slot + 4..slot + 8].copy_from_slice(&sum);
    std::fs::write(&segment, bytes).unwrap();
    let (code, report, said) = verify(state.path(), &[]);
    assert_eq!(
        (code, &report["doubts"][0]["seq"]),
        (Some(6), &123.into()),
        "{report}"
    );
    assert!(
        said.contains("record 123: record 123 is not the one that was signed"),
        "{said}"
    );
    // Outside of what was asked, it is not looked at; a proof of it is not given.
    assert_eq!(verify(state.path(), &["--to", "122"]).0, Some(0));
    assert_eq!(verify(state.path(), &["--from", "124"]).0, Some(0));
    assert_eq!(
        verify(state.path(), &["--from", "100", "--to", "123"]).0,
        Some(6)
    );
    let proof = audit(&["proof", "123", "--state", state.path().to_str().unwrap()]);
    assert_eq!((proof.status.code(), proof.stdout.len()), (Some(6), 0));
}

#[test]
fn a_proof_is_checked_with_nothing_but_the_key() {
    let state = signed(300);
    let whose = state.path().to_str().unwrap();
    let proof = audit(&["proof", "42", "--state", whose]);
    assert_eq!(proof.status.code(), Some(0));
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("42.tlog-proof");
    std::fs::write(&file, &proof.stdout).unwrap();
    let key = std::fs::read_to_string(state.path().join("log/key.pub")).unwrap();
    drop(state);
    let file = file.to_str().unwrap();
    let checked = audit(&["proof", "--check", file, "--key", key.trim()]);
    assert_eq!(
        checked.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let record: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(
        (&record["seq"], &record["operation"]),
        (&42.into(), &"GET /customers/42".into())
    );
    std::fs::write(file, text(&proof).replace("index 42", "index 43")).unwrap();
    let checked = audit(&["proof", "--check", file, "--key", key.trim()]);
    assert_eq!((checked.status.code(), checked.stdout.len()), (Some(6), 0));
    let other = signed(1);
    std::fs::write(file, text(&proof)).unwrap();
    let key = other.path().join("log/key.pub");
    let checked = audit(&["proof", "--check", file, "--key", key.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(6));
}

#[test]
fn what_is_not_there_is_said_with_the_fix() {
    let state = signed(3);
    let whose = state.path().to_str().unwrap();
    let said = |args: &[&str]| {
        let output = audit(args);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, words) = said(&["proof", "7", "--state", whose]);
    assert!(
        code == Some(1) && words.contains("there is no record 7"),
        "{words}"
    );
    let (code, words) = said(&["verify", "--state", "/nowhere"]);
    assert!(code == Some(1) && words.contains("--state"), "{words}");
    let (code, words) = said(&["checkpoint", "--state", "/nowhere"]);
    assert!(code == Some(1) && words.contains("ringfence up"), "{words}");
    let (code, words) = said(&["verify", "--state", whose, "--key", "/nowhere"]);
    assert!(code == Some(1) && words.contains("key.pub"), "{words}");
    assert_eq!(said(&["proof"]).0, Some(2));
    let human = text(&audit(&["verify", "--state", whose]));
    assert!(
        human.contains("no doubt") && human.contains("3 records"),
        "{human}"
    );
}

#[test]
fn what_is_to_go_is_asked_for_with_all_the_ways_to_say_it() {
    for (words, ways) in [
        (&["prune"][..], "--keep <DURATION>|--keep-size <SIZE>"),
        (
            &["redact", "--reason", "x"],
            "--before <TIME>|--keys <N..M>",
        ),
    ] {
        let output = audit(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(ways), "{said}");
    }
}

#[test]
fn who_may_not_read_the_log_is_told_who_may() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let state = signed(3);
    let place = tempfile::tempdir().unwrap();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open(place.path(), 0o755).unwrap();
    let binary = place.path().join("ringfence");
    fs::copy(env!("CARGO_BIN_EXE_ringfence"), &binary).unwrap();
    // As somebody else, or as an owner who has shut it.
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    open(state.path(), if root { 0o700 } else { 0 }).unwrap();
    for verb in [
        &["verify"][..],
        &["checkpoint"],
        &["proof", "1"],
        &["top"],
        &["export", "--format", "json"],
    ] {
        let mut command = Command::new(&binary);
        command
            .arg("audit")
            .args(verb)
            .arg("--state")
            .arg(state.path());
        if root {
            command.uid(54_322).gid(54_322);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{verb:?}: {said}");
        assert!(
            said.contains("only the node's own user and root"),
            "{verb:?}: {said}"
        );
    }
    open(state.path(), 0o700).unwrap();
}

#[test]
fn a_stretch_without_a_record_is_not_said_to_be_beyond_doubt() {
    let state = signed(3);
    for (stretch, code, words) in [
        (["--from", "2", "--to", "2"], 0, ""),
        (["--from", "2", "--to", "1"], 2, "exchange them"),
        (["--from", "3", "--to", "9"], 1, "records 0 to 2"),
    ] {
        let (exit, _, said) = verify(state.path(), &stretch);
        assert!(
            exit == Some(code) && said.contains(words),
            "{stretch:?}: {said}"
        );
    }
    // What is wrong with the log comes first.
    fs::remove_file(state.path().join("log/checkpoint")).unwrap();
    let (exit, report, _) = verify(state.path(), &["--from", "3"]);
    assert_eq!((exit, &report["ok"]), (Some(6), &Value::Bool(false)));
}

#[test]
fn what_has_no_end_is_not_read_to_its_end() {
    let state = signed(3);
    let whose = state.path().to_str().unwrap();
    for words in [
        ["verify", "--key", "/dev/zero", "--state", whose],
        ["verify", "--checkpoint", "/dev/zero", "--state", whose],
        ["proof", "--check", "/dev/zero", "--state", whose],
    ] {
        let output = audit(&words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("longer than") && said.contains("help: name"),
            "{said}"
        );
    }
}

/// The tree and the note of the Go checksum database: `golang.org/x/mod/sumdb`, as Debian packs it.
#[test]
fn the_go_checksum_databases_own_code_accepts_it_and_rejects_what_was_changed() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit_verify/verify.go");
    let place = tempfile::tempdir().unwrap();
    let package = place.path().join("src/flowlog");
    std::fs::create_dir_all(&package).unwrap();
    std::fs::copy(source, package.join("main.go")).unwrap();
    let program = place.path().join("verify");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg("flowlog")
        .env("GO111MODULE", "off")
        .env(
            "GOPATH",
            format!("{}:/usr/share/gocode", place.path().display()),
        )
        .env("GOCACHE", std::env::temp_dir().join("ringfence-go-cache"))
        .output()
        .expect("go is installed (scripts/deps test)");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );

    judged_by(&|| Command::new(&program), "800 leaves, 4 proofs");
}

/// `aics-tlog` of PyPI, which wants a newer python than some systems have.
#[test]
fn a_verifier_of_pypi_accepts_it_and_rejects_what_was_changed() {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let package = target.unwrap_or_else(own).join("test/tlog");
    if !package.join("python").exists() {
        eprintln!(
            "SKIPPED: aics-tlog is not in {}: there is no python 3.12 or newer, or scripts/deps test did not run",
            package.display()
        );
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit_verify/verify.py");
    let verifier = || {
        let mut python = Command::new(package.join("python"));
        python.arg(&source).env("PYTHONPATH", &package);
        python
    };
    judged_by(&verifier, "800 leaves, 5 tiles, 4 proofs");
}

/// A log, a checkpoint of it that was kept and proofs, before a verifier: it must accept them, and reject each change.
fn judged_by(verifier: &dyn Fn() -> Command, accepted: &str) {
    let place = tempfile::tempdir().unwrap();
    let state = signed(700);
    let whose = state.path().to_str().unwrap();
    let log = state.path().join("log");
    let old = std::fs::read(log.join("checkpoint")).unwrap();
    let proofs: Vec<PathBuf> = [0, 255, 256, 699]
        .iter()
        .map(|seq| {
            let file = place.path().join(format!("{seq}.tlog-proof"));
            std::fs::write(
                &file,
                audit(&["proof", &seq.to_string(), "--state", whose]).stdout,
            )
            .unwrap();
            file
        })
        .collect();
    let more = ringfence_audit::Log::open(&log).unwrap();
    for _ in 0..100 {
        more.record(&logs::flow("a", "b", "GET /", Outcome::Allow))
            .unwrap();
    }
    drop(more);
    let mut keeper = Keeper::open(&log, "bank-1").unwrap();
    keeper.turn().unwrap();
    let kept = place.path().join("kept");
    std::fs::write(&kept, old).unwrap();
    let run = |log: &Path| {
        let output = verifier()
            .arg(log)
            .arg(&kept)
            .args(&proofs)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned() + &text(&output),
        )
    };
    let (ok, said) = run(&log);
    assert!(ok && said.contains(accepted), "{said}");

    // A leaf's hash, the signature, a proof's way, the past that was kept.
    let flip = |path: &Path, at: usize| {
        let before = std::fs::read(path).unwrap();
        let mut changed = before.clone();
        changed[at] ^= 1;
        std::fs::write(path, changed).unwrap();
        let (ok, said) = run(&log);
        assert!(!ok, "{} byte {at}: {said}", path.display());
        std::fs::write(path, before).unwrap();
    };
    flip(&log.join("tile/0/001"), 77);
    flip(&log.join("tile/0/003.p/32"), 40);
    flip(&log.join("checkpoint"), 60);
    let proof = std::fs::read_to_string(&proofs[1]).unwrap();
    flip(&proofs[1], proof.find("index").unwrap() + 20);
    flip(&proofs[2], proof.find("extra").unwrap() + 30);
    flip(&kept, 60);
    assert!(run(&log).0);
}
