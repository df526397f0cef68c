//! The node of these tests: a neighbour with its service, and an attacker with services of its own to flood.

use std::time::Duration;

use ringfence_model::FlowRecord;
use ringfence_testbed::{NEIGHBOUR_ESTATE, Neighbour, Node, NodeOptions, Phase, Running, Vitals};
use rustix::process::{Resource, getrlimit};

pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// Services that the attacker may use, of every protocol, and one that it may not.
const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: mill }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: pipe }
spec: { protocol: tcp, port: 7000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: well }
spec: { protocol: udp, port: 7000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: loom }
spec: { protocol: http2, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: vault }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: attacker }
spec: { purpose: tries to be a nuisance }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: attacker }
spec:
  agent: attacker
  mode: enforce
  initiate:
    - service: mill
      operations: ["GET /**", "PUT /**"]
    - service: loom
      operations: ["GET /**", "POST /**"]
    - service: pipe
      operations: [connect]
    - service: well
      operations: [send]
    - service: shop
      operations: ["GET /**"]
"#;

/// What attackers share: many sockets, many threads.
const PRELUDE: &str = r#"
import errno, os, resource, select, socket, struct, sys, threading, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
names = {}
def at(name, port):
    if name not in names: names[name] = socket.gethostbyname(name)
    return names[name], port
done = [0] * 256
def go(threads, work):
    """Lets so many threads call `work(thread, number)` for ever, each number once, and tells how often they did."""
    def loop(thread):
        number = thread
        while True:
            try: work(thread, number)
            except OSError: pass
            number += threads
            done[thread] += 1
    for thread in range(threads): threading.Thread(target=loop, args=(thread,), daemon=True).start()
    print("ready", flush=True)
    while True:
        time.sleep(0.2)
        print("done", sum(done), flush=True)
"#;

/// Service `pipe`, which accepts, reads nothing and says nothing.
pub(crate) const HOLDER: &str = r#"
listener = socket.create_server(("0.0.0.0", 7000), backlog=1024)
print("ready", flush=True)
kept = []
while True:
    kept.append(listener.accept()[0])
"#;

/// Service `pipe`, which reads and throws away.
pub(crate) const PIPE: &str = r#"
listener = socket.create_server(("0.0.0.0", 7000), backlog=1024)
kept, poller = {}, select.epoll()
poller.register(listener, select.EPOLLIN)
print("ready", flush=True)
while True:
    for fd, _ in poller.poll():
        try:
            if fd == listener.fileno():
                sock = listener.accept()[0]
                kept[sock.fileno()] = sock
                poller.register(sock, select.EPOLLIN)
            elif not kept[fd].recv(65536):
                raise OSError
        except OSError:
            if fd in kept:
                poller.unregister(fd)
                kept.pop(fd).close()
"#;

/// Service `mill`, which answers every `GET`, and reads a `PUT` to its end. What lies below `/endless` never ends.
pub(crate) const MILL: &str = r#"
def serve(sock):
    data = b""
    try:
        while got := sock.recv(65536):
            data += got
            while b"\r\n\r\n" in data:
                head, data = data.split(b"\r\n\r\n", 1)
                if b" /endless" in head:
                    sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n")
                    while True: sock.sendall(b"x" * 65536)
                if head.startswith(b"PUT"):
                    while sock.recv(65536): pass
                    return
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    except OSError: pass
listener = socket.create_server(("0.0.0.0", 8080), backlog=1024)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

/// A node with the estate above.
pub(crate) fn node() -> Node {
    options().start().unwrap()
}

/// How many connections a node that is started here can hold, and how many one of its compartments
/// (`CONNECTIONS_PER_COMPARTMENT`, `SHARE_OF_ONE`): fewer where the hard limit on descriptors is low.
pub(crate) fn connections() -> (u64, u64) {
    let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let node = (descriptors - 512) / 3;
    (node, (node / 4).min(4096))
}

pub(crate) fn options() -> NodeOptions {
    NodeOptions::new(env!("CARGO_BIN_EXE_ringfence"))
        .file("neighbour.yaml", NEIGHBOUR_ESTATE)
        .file("attacker.yaml", ESTATE)
}

/// Starts a python program as `name`, and does not wait for anything it says.
pub(crate) fn start(node: &Node, name: &str, program: &str) -> Running {
    let work = node.host().directory(&format!("work-{name}")).unwrap();
    let file = work.join("program.py");
    std::fs::write(&file, format!("{PRELUDE}{program}")).unwrap();
    node.host().own(&file).unwrap();
    let launch = node.workload(name).workdir(&work);
    let launch = launch.limit(Duration::from_secs(120));
    launch.spawn(&[PYTHON, "-u", "program.py"]).unwrap()
}

/// Starts a python program as `name` and waits until it says that it is ready.
pub(crate) fn ready(node: &Node, name: &str, program: &str) -> Running {
    let mut running = start(node, name, program);
    running.wait_until_it_says("ready").unwrap();
    running
}

/// How long an attack goes on once it is under way.
pub(crate) fn seconds(number: u64) {
    std::thread::sleep(Duration::from_secs(number));
}

/// The enforcer's vitals.
pub(crate) fn enforcer(node: &Node) -> Vitals {
    Vitals::of(node.host(), node.enforcer().unwrap()).unwrap()
}

/// The number that a program printed last behind `word`.
pub(crate) fn number(running: &Running, word: &str) -> u64 {
    let said = running.process.stdout();
    let line = said.lines().rev().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in {said}"))
        .trim()
        .parse()
        .unwrap()
}

/// Waits until the records that `pick` picks stand for as many attempts of `source` as `wanted`, and looks once more:
/// there must be no more either. Gives the number of records.
pub(crate) fn await_refusals(
    node: &Node,
    source: &str,
    wanted: u64,
    pick: impl Fn(&FlowRecord) -> bool,
) -> usize {
    let found = |node: &Node| {
        let found = node.flows_where(0, |record| record.source == source && pick(record))?;
        let attempts: u64 = found.iter().map(|record| record.count).sum();
        Ok((attempts, found.len()))
    };
    let waited = node.await_that("the refusals", |node| {
        Ok((found(node)?.0 >= wanted).then_some(()))
    });
    if waited.is_err() {
        panic!(
            "{:?} attempts and records, {wanted} attempts were made",
            found(node).unwrap()
        );
    }
    // The window of a fold is a second.
    std::thread::sleep(Duration::from_millis(1200));
    let (attempts, records) = found(node).unwrap();
    println!("{attempts} attempts in {records} records");
    assert_eq!(attempts, wanted);
    records
}

/// Runs an attack while the neighbour is watched, and fails if it noticed. Gives what the attack returned.
pub(crate) fn unnoticed<T>(
    node: &Node,
    neighbour: &Neighbour<'_>,
    attack: impl FnOnce() -> T,
) -> T {
    let pid = node.enforcer().unwrap();
    let calm = neighbour.calm().unwrap();
    let before = enforcer(node);
    let (kept, during) = neighbour.during(attack).unwrap();
    let after = enforcer(node);
    tell(&calm, &during, before, after);
    assert_eq!(node.enforcer().unwrap(), pid, "it is another enforcer");
    // That others, the attacker among them, had the cores is no fault of the node.
    let slowed = after.slowed_since(&before);
    println!("the enforcer was slowed {slowed:.1} times");
    during.held_against_slowed(&calm, slowed).unwrap();
    kept
}

/// For people who read the output of a run.
fn tell(calm: &Phase, during: &Phase, before: Vitals, after: Vitals) {
    println!("calm:   {calm}\nduring: {during}");
    println!("enforcer before: {before:?}\nenforcer after:  {after:?}");
}
