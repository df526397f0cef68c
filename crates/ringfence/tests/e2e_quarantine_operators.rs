//! Those who take workloads out and let them back: who may, many at once, and where nothing can be written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use e2e_support::{Puppet, STRANGER, cache, options, start, start_as};
use ringfence_model::{FlowRecord, RecordKind};
use ringfence_testbed::{Caller, Node, Output};
use serde_json::{Value, json};

fn ask(node: &Node, verb: &str, words: &[&str]) -> Output {
    let all = [words, &["--reason", "odd", "-o", "json"]].concat();
    node.verb(verb, &all).unwrap()
}

fn asked(node: &Node, code: i32, verb: &str, words: &[&str]) -> Value {
    let said = ask(node, verb, words);
    assert_eq!(said.code, Some(code), "{}{}", said.stdout, said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

/// In quarantine, as `status` has it.
fn quarantined(node: &Node) -> BTreeSet<String> {
    let (_, status) = node.status().unwrap();
    let list = status["quarantined"].as_array().unwrap().iter();
    list.map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

/// In quarantine, as the file has it.
fn written(node: &Node) -> BTreeSet<String> {
    let file = node.state().join("quarantine.json").display().to_string();
    let read = node.host().run_as_root(["cat", &file]).unwrap();
    if read.stderr.contains("No such file") {
        return BTreeSet::new();
    }
    let list: Value = serde_json::from_str(&read.ok().stdout).unwrap();
    let list = list["quarantined"].as_array().unwrap().iter();
    list.map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Events of these kinds, in their order.
fn events(node: &Node, operations: &[&str]) -> Vec<FlowRecord> {
    let of =
        |r: &FlowRecord| r.kind == RecordKind::Event && operations.contains(&r.operation.as_str());
    node.flows_where(0, of).unwrap()
}

fn reaches(agent: &mut Puppet) -> bool {
    agent.tell(json!(["tcp", "cache", 6379]))["reached"] == 1
}

/// Root becomes the user of the node for it: it does not talk to servers of others.
#[test]
fn the_user_of_the_node_may_and_is_on_record() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let binary = node.binary().display().to_string();
        let state = node.state().display().to_string();
        asked(&node, 0, "quarantine", &["agent"]);
        let owner = node.host().run(["id", "-u"]).unwrap().ok().stdout;
        let owner = format!("uid {}", owner.trim());
        let words = [
            &binary, "release", "agent", "--reason", "odd", "--state", &state,
        ];
        if Caller::available().contains(&Caller::Root) {
            let by_root = node.host().run_as_root(words).unwrap();
            let code = if caller == Caller::Root { 0 } else { 1 };
            assert_eq!(by_root.code, Some(code), "{}", by_root.stderr);
            if code == 1 {
                let fix = "ask as the user of the node, as root too";
                assert!(by_root.stderr.contains(fix), "{}", by_root.stderr);
                asked(&node, 0, "release", &["agent"]);
            }
        } else {
            asked(&node, 0, "release", &["agent"]);
        }
        let told = events(&node, &["quarantine", "release"]);
        let by = |record: &FlowRecord| {
            let (_, by) = record.reason.split_once("by ").unwrap();
            by.split(':').next().unwrap().to_owned()
        };
        assert_eq!(told.len(), 2, "{told:?}");
        for record in &told {
            assert!(by(record).contains(&owner), "{record:?}");
        }
    }
}

/// The mode of the socket keeps others out. Where somebody has opened it to all, the node does.
#[test]
fn another_user_is_refused_and_recorded() {
    if !Caller::available().contains(&Caller::Root) {
        return;
    }
    let node = start_as(Caller::Root);
    let binary = node.binary().display().to_string();
    let state = node.state().display().to_string();
    asked(&node, 0, "quarantine", &["cache"]);
    let stranger = |words: &[&str]| {
        let as_stranger = [
            "setpriv",
            "--reuid",
            STRANGER,
            "--regid",
            STRANGER,
            "--clear-groups",
            "--",
            &binary,
        ];
        let more = ["--reason", "mine", "--state", &state];
        let all = [&as_stranger, words, &more].concat();
        node.host().run_as_root(all).unwrap()
    };
    let refused = |words: &[&str]| {
        let said = stranger(words);
        assert_eq!(said.code, Some(1), "{}", said.stdout);
        assert!(
            said.stderr.contains("ask as the user of the node"),
            "{}",
            said.stderr
        );
    };
    refused(&["quarantine", "agent"]);
    let opened = node.host().run_as_root([
        "sh",
        "-c",
        "chmod 666 /run/ringfence/*/admin.sock && ls /run/ringfence/*/admin.sock",
    ]);
    opened.unwrap().ok();
    refused(&["quarantine", "agent"]);
    refused(&["release", "cache"]);
    assert_eq!(quarantined(&node), BTreeSet::from(["cache".to_owned()]));
    node.wait_for_flow(|r| r.operation == "operator refused" && r.reason.contains("release"))
        .unwrap();
    let told = events(&node, &["operator refused"]);
    let told: Vec<&str> = told.iter().map(|r| r.reason.as_str()).collect();
    let who =
        |what| format!("uid {STRANGER} asked for: {what}; only root and the owner of the node may");
    assert_eq!(told, [who("quarantine"), who("release")]);
    assert_eq!(events(&node, &["quarantine"]).len(), 1);
    assert!(events(&node, &["release"]).is_empty());
}

#[test]
fn a_name_that_is_not_in_policy_yet_is_refused_and_one_that_was_is_not() {
    let node = start();
    for (name, fix) in [("cahce", "did you mean cache?"), ("later", "lists agents")] {
        let said = ask(&node, "quarantine", &[name]);
        assert_eq!(said.code, Some(1), "{}", said.stdout);
        let words = format!("no agent or service is called {name:?}");
        assert!(
            said.stderr.contains(&words) && said.stderr.contains(fix),
            "{}",
            said.stderr
        );
    }
    assert!(quarantined(&node).is_empty());
    assert!(events(&node, &["quarantine"]).is_empty());
}

/// Wishes of many processes for a few workloads: each answer is true, the log tells of each, and status, file and log agree
/// on how it ended; over a crash too.
#[test]
fn wishes_of_many_at_once_end_in_one_list() {
    let mut node = options().start().unwrap();
    let script = r#"
        for i in $(seq 1 12); do
            for name in agent web cache vault; do
                verb=quarantine; [ $(( (i + ${#name}) % 2 )) = 0 ] && verb=release
                ( "$0" $verb $name --reason "no $i" --state "$1" >/dev/null 2>&1; echo $verb $? ) &
            done
        done
        wait"#;
    let binary = node.binary().display().to_string();
    let state = node.state().display().to_string();
    let said = node.host().run(["sh", "-c", script, &binary, &state]);
    let said = said.unwrap().ok().stdout;
    let mut answers = BTreeMap::<&str, usize>::new();
    for line in said.lines() {
        *answers.entry(line).or_default() += 1;
    }
    assert_eq!(answers.values().sum::<usize>(), 48, "{answers:?}");
    let of = |answer| answers.get(answer).copied().unwrap_or(0);
    // Whoever may come is served; whom nobody has taken out cannot be let back.
    assert_eq!(of("quarantine 0"), 24, "{answers:?}");
    assert_eq!(of("release 0") + of("release 1"), 24, "{answers:?}");
    let told = events(&node, &["quarantine", "release"]);
    let count = |operation| told.iter().filter(|r| r.operation == operation).count();
    assert_eq!(count("quarantine"), 24);
    assert_eq!(count("release"), of("release 0"));
    let mut last = BTreeMap::new();
    for record in &told {
        last.insert(
            record.destination.clone() + &record.source,
            &record.operation,
        );
    }
    let last: BTreeSet<String> = last
        .into_iter()
        .filter(|(_, operation)| *operation == "quarantine")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(quarantined(&node), last);
    assert_eq!(written(&node), last);
    node.kill().unwrap();
    node.up().unwrap();
    assert_eq!(quarantined(&node), last);
    // The last one that is released is not forgotten either.
    for name in &last {
        asked(&node, 0, "release", &[name]);
    }
    node.kill().unwrap();
    node.up().unwrap();
    assert!(quarantined(&node).is_empty());
}

#[test]
fn a_second_is_a_second_again_and_again() {
    let node = start();
    let _cache = cache(&node);
    let mut agent = Puppet::start(&node);
    for round in 1..=5 {
        asked(&node, 0, "quarantine", &["agent", "--ttl", "1s"]);
        let began = Instant::now();
        assert!(!reaches(&mut agent));
        while !reaches(&mut agent) {
            assert!(began.elapsed() < Duration::from_secs(30), "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        // By the kernel's clock, which the command is asked by a little earlier.
        assert!(began.elapsed() >= Duration::from_millis(900), "{began:?}");
        node.await_that("its end", |node| {
            Ok((events(node, &["quarantine ended"]).len() == round).then_some(()))
        })
        .unwrap();
    }
    // Said again without an end, it has none.
    asked(&node, 0, "quarantine", &["agent", "--ttl", "1s"]);
    asked(&node, 0, "quarantine", &["agent"]);
    std::thread::sleep(Duration::from_secs(3));
    assert!(!reaches(&mut agent));
    assert_eq!(events(&node, &["quarantine ended"]).len(), 5);
}

/// On a disk that has become read-only a quarantine is in force, and is said to be lost with the node; a release likewise.
#[test]
fn on_a_read_only_disk_it_is_in_force_and_is_said_not_to_outlive_the_node() {
    let mut node = options().start().unwrap();
    let _cache = cache(&node);
    let mut agent = Puppet::start(&node);
    let state = node.state().display().to_string();
    let as_root = |node: &Node, script: &str| {
        let done = node.host().run_as_root(["sh", "-c", script, &state]);
        assert_eq!(done.as_ref().unwrap().code, Some(0), "{done:?}");
    };
    let lock = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    as_root(&node, lock);
    let done = asked(&node, 5, "quarantine", &["agent"]);
    assert!(
        done["unkept"].as_str().unwrap().contains("Read-only"),
        "{done}"
    );
    assert!(
        done["missing"]
            .to_string()
            .contains("a restart of the node would set it free"),
        "{done}"
    );
    assert!(!reaches(&mut agent));
    let (code, status) = node.status().unwrap();
    assert_eq!(code, 5);
    assert!(
        status["degraded"]
            .to_string()
            .contains("is not written down"),
        "{status}"
    );
    // As soon as it can be written, it is.
    as_root(&node, "umount \"$0\"");
    node.await_that("it is written down", |node| {
        Ok((written(node) == BTreeSet::from(["agent".to_owned()])).then_some(()))
    })
    .unwrap();
    node.kill().unwrap();
    node.up().unwrap();
    assert_eq!(quarantined(&node).len(), 1);
    assert!(!reaches(&mut agent));
    // The other way round: whoever is let back is free, and would not be after a crash.
    as_root(&node, lock);
    let done = asked(&node, 5, "release", &["agent"]);
    assert!(
        done["missing"]
            .to_string()
            .contains("a restart of the node would quarantine it again"),
        "{done}"
    );
    assert!(reaches(&mut agent));
    node.kill().unwrap();
    as_root(&node, "umount \"$0\"");
    node.up().unwrap();
    assert_eq!(quarantined(&node).len(), 1);
    assert!(!reaches(&mut agent));
}
