//! `ringfence run --dry-run`: what it says is what a run does, and nothing of it is done.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e_support::{PYTHON, options, start_as, workdir};
use ringfence_testbed::{Caller, Node, Output};

/// Two users of nothing.
const USER: &str = "54322";
const OTHER: &str = "54323";

const THEIRS: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: theirs }
spec: { attest: { uid: 54322 } }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: pinned }
spec: { attest: { exe: /usr/bin/env } }
"#;

/// A command line of `run`, with `--dry-run` if it is only rehearsed.
fn words(node: &Node, name: &str, dir: Option<&Path>, dry: bool, command: &[&str]) -> Vec<String> {
    let launch = node.workload(name);
    let mut words = match dir {
        Some(dir) => launch.workdir(dir),
        None => launch,
    }
    .words(command);
    if dry {
        words.insert(2, "--dry-run".to_owned());
    }
    words
}

fn rehearse(node: &Node, name: &str, dir: Option<&Path>, command: &[&str]) -> Output {
    let host = node.host();
    host.run(words(node, name, dir, true, command)).unwrap()
}

fn as_user(node: &Node, user: &str, words: &[String]) -> Output {
    let mut line = vec![
        "setpriv",
        "--reuid",
        user,
        "--regid",
        user,
        "--clear-groups",
        "--",
    ];
    line.extend(words.iter().map(String::as_str));
    node.host().run_as_root(line).unwrap()
}

/// Every file of the state with what is in it, and every process of the host.
fn everything(node: &Node) -> (String, Vec<(u32, String)>) {
    let list = format!(
        "cd {} && find . -printf '%p %m %U %s\\n' | sort && find . -type f -exec sha256sum {{}} + | sort",
        node.state().display()
    );
    let files = node
        .host()
        .run_as_root(["sh", "-ec", &list])
        .unwrap()
        .ok()
        .stdout;
    (files, node.host().processes().unwrap())
}

fn refusals(node: &Node) -> Vec<String> {
    let flows = node
        .flows_where(0, |record| record.operation == "claim refused")
        .unwrap();
    flows.into_iter().map(|record| record.reason).collect()
}

#[test]
fn says_what_would_be_started_and_changes_nothing() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let dir = workdir(&node, "work", "mark", "untouched");
        node.enforcer().unwrap();
        let before = everything(&node);
        for _ in 0..3 {
            let told = rehearse(&node, "agent", Some(&dir), &["sh", "-c", "echo x > mark"]).ok();
            let (user, root) = match caller {
                Caller::Root => ("a user of its own", true),
                _ => ("as you", false),
            };
            let sh = fs::canonicalize("/bin/sh").unwrap().display().to_string();
            for part in [
                "would start agent agent",
                "checked: owner or root",
                "agent.ringfence.internal, 100.",
                &format!("({sh})"),
                "arguments   2",
                user,
                &format!("/work       {}", dir.display()),
                "shown       /usr, read-only",
                "wall        seccomp",
                "unbounded   file accesses that are refused",
                "Nothing was granted, and nothing started.",
            ] {
                assert!(told.stdout.contains(part), "{part} {root}: {told:?}");
            }
            assert!(
                !told.stdout.contains("echo x"),
                "no argument is shown: {told:?}"
            );
            let sum = node.host().run(["sha256sum", &sh]).unwrap().ok().stdout;
            assert!(
                told.stdout.contains(sum.split(' ').next().unwrap()),
                "{told:?}"
            );
        }
        // Nor does a refusal, or what is not found, leave anything.
        assert_eq!(rehearse(&node, "nobody", None, &["true"]).code, Some(125));
        assert_eq!(rehearse(&node, "agent", None, &["no-such"]).code, Some(127));
        assert_eq!(everything(&node), before);
        assert_eq!(fs::read_to_string(dir.join("mark")).unwrap(), "untouched");

        // The first that really runs gets the first number, and the first of the ids.
        let mut run = node
            .workload("agent")
            .spawn(&["sh", "-c", "echo up; sleep 600"])
            .unwrap();
        run.wait_until_it_says("up").unwrap();
        let status = node.status().unwrap().1;
        let workload = &status["workloads"][0];
        assert!(
            workload["instance"].as_str().unwrap().ends_with("-1"),
            "{workload}"
        );
        if caller == Caller::Root {
            assert_eq!(workload["compartmentUid"], 2_000_000_000_u32, "{workload}");
        }
    }
}

/// What a run would exit with, a rehearsal does.
#[test]
fn refuses_what_a_run_refuses_with_the_same_code() {
    for caller in Caller::available() {
        let node = options()
            .file("theirs.yaml", THEIRS)
            .caller(caller)
            .start()
            .unwrap();
        let dir = workdir(&node, "work", "agent", "#!/nowhere/python3\n");
        let busy = workdir(&node, "busy", "x", "");
        let below = busy.join("below");
        fs::create_dir(&below).unwrap();
        let script = "chmod 755 $0/agent; chmod 644 $0/../services 2>/dev/null; true";
        let here = dir.display().to_string();
        node.host()
            .run_as_root(["sh", "-c", script, &here])
            .unwrap()
            .ok();
        let mut run = node
            .workload("agent")
            .workdir(&busy)
            .spawn(&["sh", "-c", "echo up; sleep 600"])
            .unwrap();
        run.wait_until_it_says("up").unwrap();
        let state = node.state();
        for (name, at, command, code, why) in [
            ("agent", None, &["true"][..], 0, ""),
            ("pinned", None, &["env", "true"][..], 0, ""),
            ("agent", None, &["/bin/true", "x"][..], 0, ""),
            (
                "nobody",
                None,
                &["true"][..],
                125,
                "there is no agent or service",
            ),
            ("agnt", None, &["true"][..], 125, "did you mean `agent`"),
            ("pinned", None, &["true"][..], 125, "is for /usr/bin/env"),
            ("agent", None, &["no-such"][..], 127, "was not found"),
            ("agent", None, &["/usr"][..], 126, "cannot be executed"),
            (
                "agent",
                Some(&*dir),
                &["./agent"][..],
                127,
                "/nowhere/python3",
            ),
            (
                "agent",
                Some(Path::new("/")),
                &["true"][..],
                125,
                "may not be /",
            ),
            (
                "agent",
                Some(Path::new("/usr")),
                &["true"][..],
                125,
                "part of /usr",
            ),
            ("agent", Some(state), &["true"][..], 125, "of the node"),
            (
                "agent",
                Some(&*busy),
                &["true"][..],
                125,
                "in use by another",
            ),
            (
                "agent",
                Some(&*below),
                &["true"][..],
                125,
                "lies in the work directory",
            ),
            ("agent", busy.parent(), &["true"][..], 125, ""),
        ] {
            let told = rehearse(&node, name, at, command);
            assert_eq!(told.code, Some(code), "{command:?}: {told:?}");
            assert!(told.stderr.contains(why), "{why}: {told:?}");
            assert_eq!(told.stdout.contains("would start"), code == 0, "{told:?}");
            let done = node
                .host()
                .run(words(&node, name, at, false, command))
                .unwrap();
            assert_eq!(done.code, Some(code), "a run: {done:?}");
            assert!(done.stderr.contains(why), "{why}: {done:?}");
        }
    }
}

/// Each try tells a stranger who may be whom: recorded as a claim, and answered with as little.
#[test]
fn tells_another_user_no_more_than_a_claim_and_records_it_alike() {
    if Caller::own() != Caller::Root {
        eprintln!("skipped: needs root, to be another user as well");
        return;
    }
    let node = options().file("theirs.yaml", THEIRS).start().unwrap();
    let ask = |user: &str, name: &str, dry: bool| {
        as_user(&node, user, &words(&node, name, None, dry, &["true"]))
    };
    // Whose it is may ask, and leaves nothing.
    node.enforcer().unwrap();
    let before = everything(&node);
    let told = ask(USER, "theirs", true).ok();
    assert!(told.stdout.contains("would start agent theirs"), "{told:?}");
    assert!(
        told.stdout.contains("uid 54322, gid 54322, as you"),
        "{told:?}"
    );
    let own = rehearse(&node, "theirs", None, &["true"]);
    assert_eq!(own.code, Some(125));
    assert!(
        own.stderr.contains("is for uid 54322, and you are uid 0"),
        "{own:?}"
    );
    assert_eq!(everything(&node), before);

    // One that is there, one that is another's, one that is not there: the same words.
    for (number, name) in ["agent", "theirs", "nothing"].into_iter().enumerate() {
        let rehearsed = ask(OTHER, name, true);
        assert_eq!(
            (rehearsed.code, &*rehearsed.stdout),
            (Some(125), ""),
            "{rehearsed:?}"
        );
        let claimed = ask(OTHER, name, false);
        let bare = |output: &Output| {
            output
                .stderr
                .replace(&format!("{name} would not start: "), "")
        };
        assert_eq!(bare(&rehearsed), bare(&claimed));
        assert!(
            rehearsed.stderr.contains("you may not run"),
            "{rehearsed:?}"
        );
        node.await_that("the refusals", |node| {
            Ok((refusals(node).len() == 2 * (number + 1)).then_some(()))
        })
        .unwrap();
    }
    let recorded = refusals(&node);
    let rehearsals = recorded
        .iter()
        .filter(|reason| reason.contains(", a rehearsal)"));
    assert_eq!(rehearsals.count(), 3, "{recorded:?}");
    let why = "agent theirs is for uid 54322, and you are uid 54323";
    let told = recorded.iter().filter(|reason| reason.contains(why));
    assert_eq!(told.count(), 2, "{recorded:?}");
}

/// Stands where an older node would, and answers what it is told to.
const OLDER: &str = r#"
import os, socket, sys
directory, answer = sys.argv[1:]
os.makedirs(directory, exist_ok=True)
os.chdir(directory)
if os.path.exists("run.sock"):
    os.unlink("run.sock")
node = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
node.bind("run.sock")
node.listen()
print("listening", flush=True)
launcher, _ = node.accept()
print("asked", launcher.recv(65536).decode(), flush=True)
launcher.send(answer.encode())
print("then", launcher.recv(65536).decode() or "nothing", flush=True)
"#;

/// A node that does not know the question answers as every node before did. No answer of it is taken for a yes.
#[test]
fn an_older_node_is_told_of_and_never_taken_for_a_yes() {
    let mut node = options().start().unwrap();
    node.kill().unwrap();
    let sockets = ringfence_compartment::sockets::socket_dir(node.state()).unwrap();
    let refused =
        r#"{"say":"refused","reason":"the claim could not be read","hint":"same binary"}"#;
    let granted = r#"{"say":"granted","instance":"agent-1-1","workload":{"kind":"agent","name":"agent"},
        "address":{"v4":"100.64.0.1","v6":"fd52:6600::1"},"fqdn":"agent.x","outer_id":2000000000,
        "filesystem":{"read":[],"write":[],"sockets":false},"forbidden":[],"generation":1,"pinned":false}"#;
    let parsed = serde_json::from_str::<ringfence_compartment::link::ToLauncher>(granted);
    assert!(parsed.is_ok(), "a grant as it is sent: {parsed:?}");
    for (answer, why) in [
        (refused, "the node is older than this `ringfence`"),
        (granted, "it took a rehearsal for a claim"),
        (r#"{"say":"link"}"#, "it took a rehearsal for a claim"),
        (r#"{"say":"would"}"#, "broke off"),
        (r#"{"say":"would-grant"}"#, "broke off"),
    ] {
        let line = [PYTHON, "-uc", OLDER, sockets.to_str().unwrap(), answer];
        let mut older = node.host().start(line).unwrap();
        older
            .wait_stdout("listening", Duration::from_secs(30))
            .unwrap();
        let told = rehearse(&node, "agent", None, &["true"]);
        assert_eq!((told.code, &*told.stdout), (Some(125), ""), "{told:?}");
        assert!(told.stderr.contains(why), "{why}: {told:?}");
        let heard = older.wait(Duration::from_secs(30)).unwrap();
        assert!(
            heard.stdout.contains(r#"asked {"say":"rehearse","#),
            "{heard:?}"
        );
        assert!(
            heard.stdout.contains("then nothing"),
            "it lets go at once: {heard:?}"
        );
        if answer == refused {
            assert!(told.stderr.contains("ringfence up --takeover"), "{told:?}");
        }
    }
}
