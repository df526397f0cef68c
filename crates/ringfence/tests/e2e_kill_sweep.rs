//! `kill -9` of each party before each of its system calls, for certain and not by luck: a stepper runs the party call by
//! call. Whatever is half done then, nothing of it stays: no process, no name that keeps a work directory, no socket
//! with the enforcer, no instance with the node; what ran is on record, and the next start succeeds.
//!
//! A few calls of each party by default, spread over its life; `RINGFENCE_SWEEP=N` takes every N-th of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e_support::{PYTHON, options};
use ringfence_model::FlowRecord;
use ringfence_testbed::{Caller, Node, Output};
use serde_json::{Value, json};

const STEPPER: &str = include_str!("e2e_support/stepper.py");

/// Calls of one party that are tried.
const POINTS: usize = 10;

/// Says that it ran, and tries what no policy allows.
const WORKLOAD: &str = r#"
import socket
open("/work/ran", "w").close()
for place in ("192.0.2.1", "127.0.0.1"):
    with socket.socket() as s:
        s.settimeout(5)
        try: s.connect((place, 80)); s.recv(1); print("through")
        except OSError: pass
print("done")
"#;

/// What a run left: how the launcher ended, and the calls of the party.
struct Stepped {
    output: Output,
    calls: Vec<u64>,
    killed: bool,
}

struct Sweep {
    node: Node,
    work: PathBuf,
    stepper: PathBuf,
}

impl Sweep {
    fn new(caller: Caller) -> Self {
        let node = options().caller(caller).start().unwrap();
        let work = node.host().directory("work").unwrap();
        let stepper = node.host().path().join("stepper.py");
        std::fs::write(&stepper, STEPPER).unwrap();
        Self {
            node,
            work,
            stepper,
        }
    }

    /// Starts the agent, and kills `who` before its call `at`; 0: lets everybody live.
    fn run(&self, who: &str, at: usize) -> Stepped {
        let report = self.work.with_file_name("report.json");
        let _none_yet = std::fs::remove_file(&report);
        // Of a launcher of root one helper more maps the ids of the work directory.
        let helpers: &[&str] = match self.node.host().caller() {
            Caller::Root => &["mapper"],
            Caller::Ordinary => &[],
        };
        let settings = json!({
            "who": who, "at": at, "report": report, "first": "launcher", "helpers": helpers,
        });
        let launch = self.node.workload("agent").workdir(&self.work);
        let mut words = vec![
            PYTHON.to_owned(),
            self.stepper.display().to_string(),
            settings.to_string(),
        ];
        words.extend(launch.words(&[PYTHON, "-c", WORKLOAD]));
        let output = self.node.host().run(words).unwrap();
        let report = std::fs::read_to_string(report).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        let calls = report["calls"].as_array().unwrap().iter();
        Stepped {
            output,
            calls: calls.map(|call| call.as_u64().unwrap()).collect(),
            killed: report["killed"].as_bool().unwrap(),
        }
    }

    /// Nothing of an earlier start is left.
    fn nothing_stays(&self, before: &Before, what: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let now = Before::of(&self.node);
            let more: Vec<_> = now.processes.difference(&before.processes).collect();
            let running = self.node.status().unwrap().1["workloads"]
                .as_array()
                .unwrap()
                .len();
            let left = (more.len(), now.names, now.mounts, running);
            if left == (0, before.names, before.mounts, 0) && now.descriptors <= before.descriptors
            {
                return;
            }
            assert!(
                Instant::now() < end,
                "{what} left {more:?}, {left:?}, descriptors {} before and {} after",
                before.descriptors,
                now.descriptors
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The workload ran only if it was told of, and everything that was told of has ended.
    fn is_on_record(&self, head: u64, what: &str) {
        let instances = |operation: &str| -> BTreeSet<String> {
            let of = |flow: &FlowRecord| flow.operation == operation && flow.source == "agent";
            let flows = self.node.flows_where(head, of).unwrap().into_iter();
            flows
                .filter_map(|flow| Some(flow.reason.split_once(',')?.0.to_owned()))
                .collect()
        };
        let started = instances("workload started");
        let running: Vec<_> = started
            .difference(&instances("workload stopped"))
            .cloned()
            .collect();
        assert!(running.is_empty(), "{what}: {running:?} never ended");
        let ran = self.work.join("ran");
        if std::fs::remove_file(&ran).is_ok() {
            assert_eq!(started.len(), 1, "{what}: it ran without a record");
        }
    }
}

/// What there is while nothing runs.
struct Before {
    processes: BTreeSet<(u32, String)>,
    /// By which work directories are kept.
    names: usize,
    mounts: usize,
    descriptors: usize,
}

impl Before {
    fn of(node: &Node) -> Self {
        let enforcer = node.enforcer().unwrap();
        let list = format!(
            "grep -c ringfence/1/ /proc/net/unix; wc -l </proc/self/mountinfo; ls /proc/{enforcer}/fd | wc -l"
        );
        let counted = node.host().run_as_root(["sh", "-c", &list]).unwrap();
        let mut counted = counted
            .stdout
            .lines()
            .map(|line| line.trim().parse().unwrap());
        Self {
            processes: node.host().processes().unwrap().into_iter().collect(),
            names: counted.next().unwrap(),
            mounts: counted.next().unwrap(),
            descriptors: counted.next().unwrap(),
        }
    }
}

/// Which of `calls` to kill at: every N-th, or a few: the first time that a call of its kind is made, spread out.
fn points(calls: &[u64]) -> Vec<usize> {
    if let Some(step) = std::env::var("RINGFENCE_SWEEP")
        .ok()
        .and_then(|step| step.parse().ok())
    {
        return (1..=calls.len()).step_by(step).collect();
    }
    let mut seen = BTreeSet::new();
    let kinds: Vec<usize> = (1..=calls.len())
        .filter(|at| seen.insert(calls[at - 1]))
        .collect();
    let every = kinds.len().div_ceil(POINTS).max(1);
    let mut points: Vec<usize> = kinds.into_iter().step_by(every).collect();
    points.push(calls.len());
    points
}

fn sweep(caller: Caller, who: &str) {
    let sweep = Sweep::new(caller);
    let before = Before::of(&sweep.node);
    let whole = sweep.run(who, 0);
    assert_eq!(whole.output.code, Some(0), "{:?}", whole.output);
    assert_eq!(whole.output.stdout, "done\n", "{:?}", whole.output);
    assert!(!whole.calls.is_empty(), "nobody is {who}");
    sweep.nothing_stays(&before, "a whole life");
    assert!(std::fs::remove_file(sweep.work.join("ran")).is_ok());
    let enforcer = sweep.node.enforcer().unwrap();
    for at in points(&whole.calls) {
        let what = format!(
            "{caller:?}: {who} killed before call {at} of {}",
            whole.calls.len()
        );
        eprintln!("{what}");
        let head = sweep.node.head().unwrap();
        let stepped = sweep.run(who, at);
        // A life may be a call shorter than the one before it.
        assert!(
            stepped.killed || at + 5 > whole.calls.len(),
            "{what}: {:?}",
            stepped.output
        );
        assert!(!stepped.output.stdout.contains("through"), "{what}");
        sweep.nothing_stays(&before, &what);
        sweep.is_on_record(head, &what);
        // The same work directory is free again, and the node serves.
        let next = sweep
            .node
            .workload("agent")
            .workdir(&sweep.work)
            .run(&["true"])
            .unwrap();
        assert_eq!(next.code, Some(0), "{what}: {next:?}");
    }
    assert_eq!(sweep.node.enforcer().unwrap(), enforcer);
    let (code, status) = sweep.node.status().unwrap();
    assert_eq!(code, 0, "{status:#}");
}

fn for_all(who: &str) {
    for caller in Caller::available() {
        sweep(caller, who);
    }
}

#[test]
fn a_launcher_killed_at_any_call_leaves_nothing() {
    for_all("launcher");
}

#[test]
fn what_stands_in_for_init_killed_at_any_call_leaves_nothing() {
    for_all("stand-in");
    for_all("builder");
}

#[test]
fn an_init_killed_at_any_call_leaves_nothing() {
    for_all("init");
}

#[test]
fn a_keeper_killed_at_any_call_leaves_nothing() {
    for_all("keeper");
}

#[test]
fn a_workload_killed_at_any_call_of_its_start_leaves_nothing() {
    for_all("workload");
}
