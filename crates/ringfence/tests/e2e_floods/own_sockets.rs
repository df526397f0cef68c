//! Floods at the node's own sockets, from outside of every compartment: by another user of the host where that user gets
//! there, else by the owner. The node answers meanwhile, launchers start, and nothing of the flood stays.
//!
//! Needs root, to be another user as well; says so and passes otherwise.

use std::time::{Duration, Instant};

use ringfence_compartment::{link::LINK_VERSION, sockets};
use ringfence_model::FlowRecord;
use ringfence_node::limits::{
    CONNECTIONS_KEPT, CONNECTIONS_MAX, INSTANCES_PER_WORKLOAD, UNCLAIMED_PER_USER,
};
use ringfence_testbed::{Caller, Neighbour, Node, Output, Process, Vitals};

use crate::ground::{PYTHON, options, unnoticed};

const STRANGER: &str = "54322";
/// An agent that is the stranger's to start.
const THEIRS: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: theirs }
spec: { attest: { uid: 54322 } }
"#;
const PORT: &str = "127.0.0.1:9464";

/// What floods share. They run on the host, in the directory of the node's sockets.
const PRELUDE: &str = r#"
import json, os, resource, select, socket, sys, threading, time
directory, version = sys.argv[1:]
os.chdir(directory)
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
# Where the kernel's queue is full (`BACKLOG`), one that may wait does.
def packets(name):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(name)
    sock.settimeout(20)
    return sock
def stream(name):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(name)
    sock.settimeout(20)
    return sock
def port():
    return socket.create_connection(("127.0.0.1", 9464), timeout=20)
def hold(number, connect, say=b""):
    """Makes so many connections at once, and tells how many of them the node keeps, and for how long."""
    began, held = time.monotonic(), [connect() for _ in range(number)]
    poller, ended = select.poll(), 0
    for sock in held:
        poller.register(sock, select.POLLIN)
        try: sock.send(say) if say else None
        except OSError: pass
    while ready := poller.poll(1000):
        for fd, _ in ready: poller.unregister(fd)
        ended += len(ready)
    print("kept", number - ended, flush=True)
    print("ready", flush=True)
    while ended < number:
        for fd, _ in poller.poll():
            poller.unregister(fd)
            ended += 1
    print("seconds", int(time.monotonic() - began), flush=True)
done = [0] * 4
def storm(work):
    """Does it for ever, in four threads."""
    def loop(i):
        while True:
            try: work()
            except OSError: pass
            done[i] += 1
    for i in range(4): threading.Thread(target=loop, args=(i,), daemon=True).start()
    while True:
        time.sleep(0.2)
        print("done", sum(done), flush=True)
        if sum(done) >= 5000: print("thousands", flush=True)
def claim(name):
    return json.dumps({"say": "claim", "version": int(version), "name": name, "command": "x", "resume": None}).encode()
"#;

/// Starts a flood as `uid` of the host.
fn flood(node: &Node, uid: &str, program: &str) -> Process {
    let directory = sockets::socket_dir(node.state()).unwrap();
    let words = [
        "setpriv",
        "--reuid",
        uid,
        "--regid",
        uid,
        "--clear-groups",
        "--pdeathsig",
        "KILL",
        "--",
        PYTHON,
        "-uc",
        &format!("{PRELUDE}{program}"),
        &directory.display().to_string(),
        &LINK_VERSION.to_string(),
    ];
    node.host().start_as_root(words).unwrap()
}

/// A node of root, and its neighbour's ground; `None` where nobody can be another user.
fn node() -> Option<Node> {
    if Caller::own() != Caller::Root {
        eprintln!("skipped: needs root, to be another user as well");
        return None;
    }
    Some(
        options()
            .file("theirs.yaml", THEIRS)
            .up_arguments(&["--metrics", PORT])
            .start()
            .unwrap(),
    )
}

const WITHIN: Duration = Duration::from_secs(60);

fn said(flood: &Process, word: &str) -> u64 {
    let said = flood.stdout();
    let line = said.lines().rev().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in {said}{}", flood.stderr()))
        .trim()
        .parse()
        .unwrap()
}

/// The node is well: operators hear so, and a launcher gets its workload.
fn well(node: &Node) {
    let (code, status) = node.status().unwrap();
    assert_eq!(code, 0, "{status:#}");
    starts(node);
}

fn starts(node: &Node) {
    let began = Instant::now();
    let started = node.run("attacker", &["/bin/true"]).unwrap();
    assert_eq!(started.code, Some(0), "{started:?}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

fn vitals(node: &Node) -> Vitals {
    Vitals::of(node.host(), node.pid()).unwrap()
}

/// What a node has that signs already: from then on it has the log open.
fn before(node: &Node) -> Vitals {
    node.await_that("the first checkpoint", |node| {
        let signed = node.status()?.1["log"]["signed"].as_u64();
        Ok((signed > Some(0)).then_some(()))
    })
    .unwrap();
    vitals(node)
}

/// Waits until the node has no more open than before. Its runtime may keep threads for blocking work a while.
fn nothing_stays(node: &Node, before: Vitals) {
    node.await_that("the end of the flood's descriptors", |node| {
        let now = vitals(node);
        Ok(
            (now.descriptors <= before.descriptors && now.threads <= before.threads + 2)
                .then_some(()),
        )
    })
    .unwrap();
    let grown = vitals(node).resident.saturating_sub(before.resident);
    assert!(grown < 32 << 20, "the node has {grown} bytes more");
    well(node);
}

/// Holds what it gets, then comes again and again; `during` looks at the node under each. Gives how many connections were
/// kept, and for how many seconds the longest.
fn endure(
    node: &Node,
    uid: &str,
    holding: &str,
    storming: &str,
    during: impl Fn(&Node),
) -> (u64, u64) {
    well(node);
    let neighbour = Neighbour::start(node).unwrap();
    let before = before(node);
    let (held, storm) = unnoticed(node, &neighbour, || {
        let held = flood(node, uid, holding);
        held.wait_stdout("ready", WITHIN).unwrap();
        during(node);
        held.wait_stdout("seconds", WITHIN).unwrap();
        let storm = flood(node, uid, storming);
        storm.wait_stdout("thousands", WITHIN).unwrap();
        during(node);
        (held, storm)
    });
    drop(storm);
    nothing_stays(node, before);
    (said(&held, "kept"), said(&held, "seconds"))
}

#[test]
fn another_users_connections_to_run_sock_that_claim_nothing() {
    let Some(node) = node() else { return };
    let (kept, seconds) = endure(
        &node,
        STRANGER,
        r#"hold(3000, lambda: packets("run.sock"))"#,
        r#"storm(lambda: packets("run.sock").close())"#,
        well,
    );
    // `UNCLAIMED_PER_USER` of them, for `CLAIM_WITHIN`.
    assert_eq!(kept, 64);
    assert!((9..20).contains(&seconds), "{seconds} s");
}

/// A user of a host has thousands of subordinate ids, and each is a user to the kernel.
#[test]
fn connections_to_run_sock_of_more_users_than_there_are_places_for() {
    let Some(node) = node() else { return };
    well(&node);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = before(&node);
    let users = CONNECTIONS_MAX / UNCLAIMED_PER_USER;
    // Each holds its own until the node ends them.
    let program = format!(
        r#"
import ctypes, signal
told, say = os.pipe()
for user in range({users}):
    if os.fork(): continue
    os.setgid(200000 + user)
    os.setuid(200000 + user)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    held = [packets("run.sock") for _ in range({UNCLAIMED_PER_USER})]
    poller = select.poll()
    for sock in held: poller.register(sock, select.POLLIN)
    time.sleep(1)
    ended = {{fd for fd, _ in poller.poll(0)}}
    os.write(say, b"%d\n" % (len(held) - len(ended)))
    signal.pause()
heard = os.fdopen(told)
print("kept", sum(int(heard.readline()) for _ in range({users})), flush=True)
print("ready", flush=True)
signal.pause()
"#
    );
    let flood = unnoticed(&node, &neighbour, || {
        let flood = flood(&node, "0", &program);
        flood.wait_stdout("ready", WITHIN).unwrap();
        // Root's launchers have places left.
        well(&node);
        flood
    });
    let kept = said(&flood, "kept") as usize;
    drop(flood);
    nothing_stays(&node, before);
    // All but those that are kept, and those of what runs here.
    let most = CONNECTIONS_MAX - CONNECTIONS_KEPT;
    assert!((most - 8..=most).contains(&kept), "{kept} of {most}");
}

/// Each has a process of the node between it and the enforcer.
#[test]
fn another_users_launchers_as_many_as_may_run() {
    let Some(node) = node() else { return };
    well(&node);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = before(&node);
    let program = r#"
held, refused = [], 0
for _ in range(300):
    sock = packets("run.sock")
    sock.send(claim("theirs"))
    answer = json.loads(sock.recv(65536))
    if answer["say"] == "granted": held.append(sock)
    elif "run already" in answer["reason"]: refused += 1
print("refused", refused, flush=True)
print("granted", len(held), flush=True)
print("ready", flush=True)
time.sleep(1000)
"#;
    let flood = unnoticed(&node, &neighbour, || {
        let flood = flood(&node, STRANGER, program);
        flood.wait_stdout("ready", WITHIN).unwrap();
        starts(&node);
        flood
    });
    let (granted, refused) = (said(&flood, "granted"), said(&flood, "refused"));
    assert_eq!(granted as usize, INSTANCES_PER_WORKLOAD);
    assert_eq!(granted + refused, 300);
    let porters = |node: &Node| {
        let processes = node.host().processes().unwrap();
        let porters = processes.iter();
        porters
            .filter(|(_, words)| words.contains("ringfence porter"))
            .count()
    };
    assert_eq!(porters(&node), INSTANCES_PER_WORKLOAD);
    drop(flood);
    nothing_stays(&node, before);
    assert_eq!(porters(&node), 0);
}

#[test]
fn another_users_claims_at_run_sock_without_end() {
    let Some(node) = node() else { return };
    // One that is no claim is told so, and closed.
    let (kept, _) = endure(
        &node,
        STRANGER,
        r#"hold(3000, lambda: packets("run.sock"), b"{\"say\": \"claim\", ")"#,
        r#"
def work():
    sock = packets("run.sock")
    sock.send(claim("neighbour"))
    sock.recv(65536)
    sock.close()
storm(work)"#,
        well,
    );
    assert_eq!(kept, 0);
    // All of them are on record, in few records: the log is not theirs to fill (`REFUSALS_PER_USER`).
    let found = node.await_that("the sum of the claims", |node| {
        let refused = |record: &FlowRecord| record.operation == "claim refused";
        let refused = node.flows_where(0, refused)?;
        let stands_for = |record: &FlowRecord| match record.reason.split_once(" more claims of ") {
            Some((number, _)) => number.parse().unwrap(),
            None => 1,
        };
        let claims: u64 = refused.iter().map(stands_for).sum();
        Ok((claims >= 5000).then_some((claims, refused.len())))
    });
    let (claims, records) = found.unwrap();
    println!("{claims} claims in {records} records");
    assert!(records < 500, "{records} records");
}

#[test]
fn an_owners_connections_to_admin_sock() {
    let Some(node) = node() else { return };
    let (kept, seconds) = endure(
        &node,
        "0",
        r#"hold(1000, lambda: packets("admin.sock"))"#,
        // One byte more than a packet may have (`MESSAGE_MAX`).
        r#"
def work():
    sock = packets("admin.sock")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.send(b"x" * 65537)
    sock.recv(65536)
    sock.close()
storm(work)"#,
        // Who says nothing gives way to who asks.
        well,
    );
    // `ADMIN_CONNECTIONS` of them, twice `ADMIN_WITHIN`. One gave way to the operator, or more.
    assert!((24..=32).contains(&kept), "{kept}");
    assert!((3..9).contains(&seconds), "{seconds} s");
}

/// What a monitor gets, by the socket.
fn scrape(node: &Node) -> Output {
    let socket = sockets::socket_dir(node.state())
        .unwrap()
        .join("metrics.sock");
    let socket = socket.display().to_string();
    let words = [
        "curl",
        "-sS",
        "--fail",
        "--max-time",
        "10",
        "--unix-socket",
        &socket,
    ];
    let words = words.into_iter().chain(["http://localhost/metrics"]);
    node.host().run_as_root(words).unwrap()
}

#[test]
fn another_users_connections_to_the_port_for_monitors() {
    let Some(node) = node() else { return };
    let (kept, seconds) = endure(
        &node,
        STRANGER,
        // A head that never ends.
        r#"hold(1000, port, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nx: ")"#,
        r#"
def work():
    sock = port()
    sock.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 9000)
    while sock.recv(65536): pass
    sock.close()
storm(work)"#,
        |node| {
            well(node);
            // The socket has places of its own.
            let page = scrape(node);
            assert!(page.stdout.contains("ringfence_"), "{page:?}");
        },
    );
    // `SCRAPES` of them, for `SCRAPE_WITHIN`.
    assert_eq!(kept, 8);
    assert!((4..10).contains(&seconds), "{seconds} s");
}

#[test]
fn a_monitors_connections_to_metrics_sock() {
    let Some(node) = node() else { return };
    let (kept, seconds) = endure(
        &node,
        "0",
        r#"hold(1000, lambda: stream("metrics.sock"))"#,
        r#"
def work():
    sock = stream("metrics.sock")
    sock.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
    while sock.recv(65536): pass
    sock.close()
storm(work)"#,
        well,
    );
    assert_eq!(kept, 8);
    assert!((4..10).contains(&seconds), "{seconds} s");
    let page = scrape(&node);
    assert!(page.stdout.contains("ringfence_"), "{page:?}");
}
