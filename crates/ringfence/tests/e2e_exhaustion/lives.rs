//! A workload that starts and dies again and again leaves nothing behind, and nothing grows.

use std::collections::BTreeSet;

use ringfence_testbed::{Caller, Neighbour, Node, Vitals};

use crate::ground::{node, unnoticed};

/// How often, unless `RINGFENCE_TEST_LIVES` says otherwise.
const LIVES: u32 = 60;
/// Lives before what stays is counted: pools, buffers and tables have their size by then.
const WARM_UP: u32 = 20;

/// What could be left behind, but for what is in use by others at the same time.
#[derive(Debug, PartialEq)]
struct Left {
    /// Processes of the host that live. Process 1 of this one buries nobody, as that of a real one does.
    processes: usize,
    mounts: usize,
    /// Files of the state directory, but for the log's.
    state: BTreeSet<String>,
    /// Network and user namespaces that a process of the host is in.
    namespaces: usize,
    node: u64,
    enforcer: u64,
}

fn count(node: &Node, script: &str) -> usize {
    let told = node.host().run_as_root(["sh", "-c", script]).unwrap();
    told.stdout
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{told:?}"))
}

fn vitals(node: &Node) -> (Vitals, Vitals) {
    let enforcer = node.enforcer().unwrap();
    let of = |pid| Vitals::of(node.host(), pid).unwrap();
    (of(node.pid()), of(enforcer))
}

fn left(node: &Node) -> Left {
    let (of_node, of_enforcer) = vitals(node);
    let entries = std::fs::read_dir(node.state()).unwrap();
    Left {
        processes: count(
            node,
            "grep -L '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l",
        ),
        mounts: count(node, "wc -l </proc/self/mountinfo"),
        namespaces: count(
            node,
            "for p in $(grep -L '^State:.Z' /proc/[0-9]*/status 2>/dev/null); do p=${p%/status}; readlink $p/ns/net $p/ns/user $p/ns/mnt; done 2>/dev/null | sort -u | wc -l",
        ),
        state: entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect(),
        node: of_node.descriptors,
        enforcer: of_enforcer.descriptors,
    }
}

/// What is left once it has been the same for a while.
fn at_rest(node: &Node) -> Left {
    node.await_that("a node at rest", |node| {
        let first = left(node);
        let stays = (0..5).all(|_| left(node) == first);
        Ok(stays.then_some(first))
    })
    .unwrap()
}

/// What the descriptors of node and enforcer are, for whoever looks for the one too many.
fn held(node: &Node) -> String {
    let of = |pid: u32| {
        let script = r#"cd "/proc/$0/fd" && for d in *; do readlink $d; done | sed 's/[0-9]\{3,\}/N/g' | sort | uniq -c"#;
        let told = node
            .host()
            .run_as_root(["sh", "-c", script, &pid.to_string()])
            .unwrap();
        told.stdout
    };
    format!(
        "node:\n{}enforcer:\n{}",
        of(node.pid()),
        of(node.enforcer().unwrap())
    )
}

fn live(node: &Node, times: u32) {
    for number in 0..times {
        // Some end by themselves, some are killed with their launcher.
        if number % 3 == 2 {
            let mut running = node.workload("glutton").spawn(&["sleep", "600"]).unwrap();
            node.host().signal("KILL", running.pid).unwrap();
            running.wait().unwrap();
        } else {
            let ended = node.run("glutton", &["true"]).unwrap();
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        }
    }
}

#[test]
fn lives_leave_nothing_behind() {
    let lives = std::env::var("RINGFENCE_TEST_LIVES");
    let lives = lives.map_or(LIVES, |text| text.parse().unwrap());
    for caller in Caller::available() {
        let node = node(caller);
        let watched = |times| {
            let neighbour = Neighbour::start(&node).unwrap();
            unnoticed(&node, &neighbour, || live(&node, times));
        };
        watched(WARM_UP);
        // Nobody is at work when it is counted: what a request holds would come and go.
        node.await_that("the end of the last life", |node| {
            let (_, status) = node.status()?;
            Ok((status["instances"].as_array().is_none_or(Vec::is_empty)).then_some(()))
        })
        .unwrap();
        let before = at_rest(&node);
        let (memory, held_before) = (vitals(&node), held(&node));
        watched(lives);
        // What ended a moment ago is still being buried. Less than before is as good: pools shrink.
        node.await_that("the state of before", |node| {
            let now = left(node);
            let more = now.processes > before.processes
                || now.mounts > before.mounts
                || now.namespaces > before.namespaces
                || now.node > before.node
                || now.enforcer > before.enforcer
                || now.state != before.state;
            Ok((!more).then_some(()))
        })
        .unwrap_or_else(|error| {
            panic!(
                "{error}\nbefore {before:?}\n{held_before}now {:?}\n{}",
                left(&node),
                held(&node)
            )
        });
        let after = vitals(&node);
        println!("{caller:?}: {lives} lives; before {memory:?}, after {after:?}");
        // A life that leaks a kilobyte shows in a thousand of them; allocators keep a little.
        let allowed = (1 << 20) + u64::from(lives) * 1024;
        assert!(
            after.0.resident < memory.0.resident + allowed,
            "the node grows"
        );
        assert!(
            after.1.resident < memory.1.resident + allowed,
            "the enforcer grows"
        );
    }
}
