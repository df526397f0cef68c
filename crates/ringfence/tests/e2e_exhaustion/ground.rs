//! The node of these tests: a neighbour with its service, and a glutton with small bounds.

use std::time::Duration;

use ringfence_testbed::{Caller, NEIGHBOUR_ESTATE, Neighbour, Node, NodeOptions, Running};

pub(crate) const PYTHON: &str = "/usr/bin/python3";

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: glutton }
spec:
  purpose: takes all it can
  limits: { memory: 96Mi, processes: 64 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: hoarder }
spec: { purpose: has the usual bounds and fills them }
"#;

/// What gluttons share.
const PRELUDE: &str = r#"
import ctypes, errno, mmap, os, resource, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def refusal(attempt):
    "The name of the error that an attempt ends in, or None."
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno]

def until_refused(attempt, most):
    "How often it can be done, and the name of the error after."
    for count in range(most):
        if error := refusal(attempt):
            return count, error
    return most, None
"#;

/// A node with the estate above.
pub(crate) fn node(caller: Caller) -> Node {
    NodeOptions::new(env!("CARGO_BIN_EXE_ringfence"))
        .caller(caller)
        .file("neighbour.yaml", NEIGHBOUR_ESTATE)
        .file("glutton.yaml", ESTATE)
        .start()
        .unwrap()
}

/// Starts a python program as the glutton, and does not wait for anything it says.
pub(crate) fn start(node: &Node, program: &str) -> Running {
    start_as(node, "glutton", program)
}

fn start_as(node: &Node, name: &str, program: &str) -> Running {
    let work = node.host().directory(&format!("work-{name}")).unwrap();
    let file = work.join("glutton.py");
    std::fs::write(&file, format!("{PRELUDE}{program}")).unwrap();
    node.host().own(&file).unwrap();
    let launch = node.workload(name).workdir(&work);
    let launch = launch.limit(Duration::from_secs(90));
    launch.spawn(&[PYTHON, "-u", "glutton.py"]).unwrap()
}

/// Starts a python program as the glutton and waits until it says that it is ready.
pub(crate) fn ready(node: &Node, program: &str) -> Running {
    let mut running = start(node, program);
    running.wait_until_it_says("ready").unwrap();
    running
}

/// The same as the hoarder, which has no small bounds.
pub(crate) fn hoard(node: &Node, program: &str) -> Running {
    let mut running = start_as(node, "hoarder", program);
    running.wait_until_it_says("ready").unwrap();
    running
}

/// What a program printed behind `word`.
pub(crate) fn said(running: &Running, word: &str) -> String {
    let said = running.process.stdout();
    let line = said.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in {said}{}", running.process.stderr()))
        .trim()
        .to_owned()
}

/// Does something while the neighbour is watched, and fails if it noticed, or if the enforcer is another one afterwards.
pub(crate) fn unnoticed<T>(
    node: &Node,
    neighbour: &Neighbour<'_>,
    attack: impl FnOnce() -> T,
) -> T {
    let enforcer = node.enforcer().unwrap();
    let calm = neighbour.calm().unwrap();
    let (kept, during) = neighbour.during(attack).unwrap();
    println!("calm:   {calm}\nduring: {during}");
    during.held_against(&calm).unwrap();
    assert_eq!(node.enforcer().unwrap(), enforcer, "it is another enforcer");
    kept
}
