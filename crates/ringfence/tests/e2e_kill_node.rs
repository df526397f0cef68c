//! `kill -9` of node and enforcer before a system call of theirs while a workload is started, handed over and stopped: the
//! party is run call by call. The workload runs with its doors watched, or not at all; a node that is started again, or an
//! enforcer that is, has all that runs; nothing else is left.
//!
//! A few calls by default; `RINGFENCE_SWEEP=N` takes every N-th of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{PYTHON, options};
use ringfence_testbed::{Caller, Node, Running};
use serde_json::{Value, json};

const STEPPER: &str = include_str!("e2e_support/stepper.py");

/// Calls of one party that are tried.
const POINTS: usize = 5;

/// Tries what no policy allows, and lives until told to end.
const WORKLOAD: &str = r#"
import socket, sys
print("up", flush=True)
sys.stdin.readline()
with socket.socket() as s:
    s.settimeout(20)
    # An enforcer that is killed over it leaves it to the kernel, which ends it in order.
    try: s.connect(("192.0.2.1", 80)); print("through" if s.recv(1) else "refused")
    except TimeoutError: print("nobody answers")
    except OSError: print("refused")
"#;

/// How long a party may take to be killed, and others to get over it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stepped {
    node: Node,
    real: std::path::PathBuf,
    report: std::path::PathBuf,
}

impl Stepped {
    /// A node whose party `who` is killed before its call `at` from [`Stepped::count`] on.
    fn start(caller: Caller, who: &str, at: usize) -> Self {
        let mut node = options().caller(caller).start().unwrap();
        node.stop().unwrap();
        let at_host = |name: &str| node.host().path().join(name);
        let (report, stepper, wrapper) = (
            at_host("report.json"),
            at_host("stepper.py"),
            at_host("stepped"),
        );
        let settings =
            json!({ "who": who, "at": at, "report": report, "first": "node", "wait": true });
        let real = node.binary().to_owned();
        let script = format!(
            "#!/bin/sh\nexec {PYTHON} {} '{settings}' {} \"$@\"\n",
            stepper.display(),
            real.display()
        );
        std::fs::write(&stepper, STEPPER).unwrap();
        std::fs::write(&wrapper, script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&wrapper, executable).unwrap();
        node.set_binary(wrapper);
        node.up().unwrap();
        node.enforcer().unwrap();
        node.set_binary(real.clone());
        Self { node, real, report }
    }

    /// From now on calls are counted.
    fn count(&self) {
        self.node.host().signal("USR1", self.node.pid()).unwrap();
    }

    /// What the stepper has seen.
    fn report(&self) -> Value {
        let _none_yet = std::fs::remove_file(&self.report);
        // It has ended with a node that was killed, and written its report then.
        if self.node.host().signal("USR2", self.node.pid()).is_err() {
            return Value::Null;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(&self.report) {
                return serde_json::from_str(&text).unwrap();
            }
            assert!(Instant::now() < end, "the stepper does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn launch(&self) -> Running {
        let launch = self.node.workload("agent").open_stdin();
        launch.spawn(&[PYTHON, "-uc", WORKLOAD]).unwrap()
    }

    fn workloads(&self) -> Vec<Value> {
        let status = self.node.status().unwrap().1;
        status["workloads"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until whatever runs has its doors watched, or nothing runs.
    fn recovered(&self, running: &mut Running, what: &str) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            let alive = running.process.is_running().unwrap();
            let workloads = self.workloads();
            let armed = workloads.iter().any(|it| it["armed"] == true);
            if (alive && armed && running.process.stdout().contains("up"))
                || (!alive && workloads.is_empty())
            {
                return alive;
            }
            assert!(
                Instant::now() < end,
                "{what}: {alive} {workloads:?} {} {}",
                running.process.stdout(),
                running.process.stderr()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Processes of launchers and compartments.
fn of_launchers(node: &Node) -> Vec<(u32, String)> {
    let mut processes = node.host().processes().unwrap();
    processes.retain(|(_, words)| words.contains(" run agent "));
    processes
}

/// Whether it came to that: a start may take fewer calls than the one before.
fn kill_at(caller: Caller, who: &str, at: usize, calls: usize) -> bool {
    let what = format!("{caller:?}: {who} killed before call {at} of {calls}");
    let mut stepped = Stepped::start(caller, who, at);
    let before = stepped.node.enforcer().unwrap();
    stepped.count();
    let mut running = stepped.launch();
    // The party is killed during the start, or the hand-over, or when the workload ends.
    let end = Instant::now() + PATIENCE;
    let gone = |stepped: &Stepped| match who {
        "node" => {
            stepped.node.verb("status", &[]).unwrap().code == Some(5)
                && stepped.node.host().signal("0", stepped.node.pid()).is_err()
        }
        _ => stepped.node.host().signal("0", before).is_err(),
    };
    let (mut asked, mut killed) = (false, true);
    while !gone(&stepped) {
        if !asked && running.process.stdout().contains("up") {
            running.process.write(b"end\n").unwrap();
            asked = true;
        }
        if asked && !running.process.is_running().unwrap() && Instant::now() > end - PATIENCE / 2 {
            killed = false;
            break;
        }
        assert!(
            Instant::now() < end,
            "{what}: it is never killed: {}",
            running.process.stderr()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    if who == "node" {
        let _ended_already = stepped.node.kill();
        stepped.node.set_binary(stepped.real.clone());
        stepped.node.up().unwrap();
    }
    stepped.node.enforcer().unwrap();
    if stepped.recovered(&mut running, &what) {
        if !asked {
            running.process.write(b"end\n").unwrap();
        }
        let output = running.wait().unwrap();
        assert_eq!(output.code, Some(0), "{what}: {output:?}");
        assert!(output.stdout.contains("refused"), "{what}: {output:?}");
    } else {
        let output = running.wait().unwrap();
        assert!(!output.stdout.contains("through"), "{what}: {output:?}");
        assert!(matches!(output.code, Some(0 | 125)), "{what}: {output:?}");
    }
    let end = Instant::now() + PATIENCE;
    while !(of_launchers(&stepped.node).is_empty() && stepped.workloads().is_empty()) {
        assert!(
            Instant::now() < end,
            "{what} left {:?}",
            of_launchers(&stepped.node)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let next = stepped.node.run("agent", &["true"]).unwrap();
    assert_eq!(next.code, Some(0), "{what}: {next:?}");
    eprintln!("{what}: {killed}");
    killed
}

fn sweep(who: &str) {
    for caller in Caller::available() {
        let stepped = Stepped::start(caller, who, 0);
        stepped.count();
        let mut running = stepped.launch();
        running.wait_until_it_says("up").unwrap();
        running.process.write(b"end\n").unwrap();
        assert_eq!(running.wait().unwrap().code, Some(0));
        let calls = stepped.report()["calls"].as_array().unwrap().len();
        assert!(calls > POINTS, "{who} makes {calls} calls");
        drop((running, stepped));
        let step = std::env::var("RINGFENCE_SWEEP")
            .ok()
            .and_then(|step| step.parse().ok());
        let points: Vec<usize> = (1..=calls)
            .step_by(step.unwrap_or(calls / POINTS))
            .collect();
        let killed = points.iter().filter(|at| kill_at(caller, who, **at, calls));
        let killed = killed.count();
        assert!(
            killed * 2 > points.len(),
            "killed {killed} times of {}",
            points.len()
        );
    }
}

#[test]
fn a_node_killed_at_any_call_of_a_start_loses_nothing_that_runs() {
    sweep("node");
}

#[test]
fn an_enforcer_killed_at_any_call_of_a_start_loses_nothing_that_runs() {
    sweep("enforcer");
}
