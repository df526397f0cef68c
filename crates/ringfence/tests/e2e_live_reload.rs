//! Policy is saved under real load: whoever may stay connected is never disturbed, what no version allows never arrives, both
//! ends count the same; and what a version takes away is cut at once and together.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::living::{
    EVERYTHING, SERVICES, SETTLED, Scene, all, begin, goes_on, is_over, opens, report,
};
use e2e_support::{BINARY, PYTHON, Puppet, agent, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::NodeOptions;
use serde_json::{Value, json};

const SAVES: u64 = 100;

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: web }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: cache }
spec: { protocol: tcp, port: 6379 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: asks all the time }
";

fn policy(version: u64) -> String {
    format!(
        "\
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: {{ name: agent }}
spec:
  agent: agent
  initiate:
    - {{ service: web, operations: [\"GET /always\", \"GET /v{version}\"] }}
    - {{ service: cache, operations: [connect] }}
"
    )
}

/// Counts connections and requests, and says how many when it is asked over `/count` of its own loopback.
const WEB: &str = r#"
import collections, json, socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
seen, lock = collections.Counter(), threading.Lock()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def setup(self):
        super().setup()
        with lock: seen["connections"] += 1
    def do_GET(self):
        with lock:
            seen[self.path] += 1
        self.send_response(200); self.send_header("content-length", "2"); self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_): pass
class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 64
server = Server(("::", 8080), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("web is serving", flush=True)
import sys
sys.stdin.readline()
print(json.dumps(seen), flush=True)
"#;

const CACHE: &str = r#"
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
server = Server(("0.0.0.0", 6379), Echo)
print("cache is serving", flush=True)
server.serve_forever()
"#;

/// Eight connections that ask one thing after another, and eight that echo; none is ever opened again.
const TRAFFIC: &str = r#"
import collections, http.client, json, socket, sys, threading
told, lock, over = collections.Counter(), threading.Lock(), threading.Event()
def count(what):
    with lock: told[what] += 1
def ask():
    conn = http.client.HTTPConnection("web", 8080, timeout=60)
    conn.connect()
    while not over.wait(0.002):
        for path in ("/always", "/never"):
            try:
                conn.request("GET", path)
                answer = conn.getresponse()
                answer.read()
                count(f"{path} {answer.status}")
                if answer.will_close or conn.sock is None: count("closed"); return
            except Exception as error:
                count(f"{path} {type(error).__name__}"); return
def echo():
    try:
        with socket.create_connection(("cache", 6379), timeout=60) as sock:
            while not over.wait(0.002):
                sock.sendall(b"x" * 100)
                left = 100
                while left:
                    got = sock.recv(left)
                    if not got: raise OSError("ended")
                    left -= len(got)
                count("echoed")
    except OSError as error:
        count(f"echo {error}")
threads = [threading.Thread(target=target) for target in [ask] * 8 + [echo] * 8]
for thread in threads: thread.start()
print("ready", flush=True)
sys.stdin.readline()
over.set()
for thread in threads: thread.join()
print(json.dumps(told), flush=True)
"#;

#[test]
fn a_hundred_saves_under_load_disturb_nobody_and_open_nothing() {
    let options = NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .file("policy.yaml", &policy(0));
    let node = options.start().unwrap();
    let start = |name: &str, text: &str, says: &str| {
        let path = workdir(&node, &format!("work-{name}"), "program.py", text);
        let launch = node.workload(name).workdir(&path).open_stdin();
        let mut running = launch.spawn(&[PYTHON, "-u", "program.py"]).unwrap();
        running.wait_until_it_says(says).unwrap();
        running
    };
    let mut web = start("web", WEB, "is serving");
    let _cache = start("cache", CACHE, "is serving");
    let mut traffic = start("agent", TRAFFIC, "ready");
    let began = Instant::now();
    for version in 1..=SAVES {
        let before = node.generation().unwrap();
        node.write("policy.yaml", &policy(version)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while node.generation().unwrap() == before {
            assert!(Instant::now() < deadline, "{}", node.messages());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    eprintln!("{SAVES} generations in {:?}", began.elapsed());
    let last = |running: &mut ringfence_testbed::Running| -> Value {
        running.process.write(b"end\n").unwrap();
        running.wait().unwrap();
        serde_json::from_str(running.process.stdout().lines().last().unwrap()).unwrap()
    };
    let (told, seen) = (last(&mut traffic), last(&mut web));
    let kinds: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(kinds, ["/always 200", "/never 403", "echoed"], "{told}");
    let served = told["/always 200"].as_u64().unwrap();
    assert!(
        served > 500 && told["echoed"].as_u64().unwrap() > 500,
        "{told}"
    );
    // What the service saw is what its callers were served: no request more, and not one connection opened twice.
    assert_eq!(
        (&seen["/always"], &seen["connections"]),
        (&json!(served), &json!(8)),
        "{seen}"
    );
    assert!(seen.get("/never").is_none(), "{seen}");
    let recorded = node.flows_where(0, |r| {
        r.kind == RecordKind::Operation && r.protocol == "http" && r.outcome == Outcome::Allow
    });
    assert_eq!(recorded.unwrap().len() as u64, served);
    let cut = node.flows_where(0, |r| {
        r.kind == RecordKind::Close && r.outcome == Outcome::Deny
    });
    assert_eq!(cut.unwrap(), []);
}

/// Of every protocol: a save that takes a service away cuts what lives of it, and nothing else of anybody's.
#[test]
fn what_a_save_takes_away_is_cut_and_what_it_leaves_goes_on() {
    let policy = |name: &str, initiate: &str| agent(name, "mode: enforce", initiate);
    let mut scene = Scene::new(&policy("agent", EVERYTHING), &policy("other", EVERYTHING));
    let kinds = all();
    begin(&mut scene.agent, &kinds);
    begin(&mut scene.other, &kinds);
    for (service, cut) in SERVICES {
        let left: Vec<&str> = kinds
            .iter()
            .copied()
            .filter(|kind| !cut.contains(kind))
            .collect();
        let before = report(&mut scene.other);
        let named = format!("service: {service},");
        let less: Vec<&str> = EVERYTHING
            .lines()
            .filter(|line| !line.contains(&named))
            .collect();
        let less = policy("agent", &less.join("\n"));
        scene.node.reload("agent.yaml", &less).unwrap();
        std::thread::sleep(SETTLED);
        let after = report(&mut scene.agent);
        assert!(!opens(&mut scene.agent, cut), "{service}");
        is_over(&mut scene.agent, &after, cut);
        goes_on(&mut scene.agent, &after, &left);
        goes_on(&mut scene.other, &before, &kinds);
        scene
            .node
            .reload("agent.yaml", &policy("agent", EVERYTHING))
            .unwrap();
        begin(&mut scene.agent, cut);
    }
    let cut = scene.node.flows_where(0, |r| {
        r.kind == RecordKind::Close && r.reason.starts_with("revoked by generation")
    });
    let cut = cut.unwrap();
    assert_eq!(cut.len(), kinds.len(), "{cut:?}");
    assert!(
        cut.iter()
            .all(|r| r.source == "agent" && r.outcome == Outcome::Deny)
    );
}

/// Holds connections to `cache`, and answers of `web` that never end, and notes when each has ended.
const HOLDER: &str = r#"
import json, selectors, socket, sys, threading, time
watched, ended, beats = selectors.DefaultSelector(), {}, {}
def hold(kind, host, port, words, times):
    ended[kind], beats[kind] = [], 0
    for _ in range(times):
        sock = socket.create_connection((host, port), timeout=30)
        sock.sendall(words)
        assert sock.recv(65536), kind
        sock.setblocking(False)
        watched.register(sock, selectors.EVENT_READ, (kind, words if kind == "cache" else b""))
hold("cache", "cache", 6379, b"hello", 60)
for path in ("/stays", "/goes"):
    hold(path, "web", 8080, f"GET {path} HTTP/1.1\r\nHost: web\r\n\r\n".encode(), 30)
def look():
    while True:
        for key, _ in watched.select():
            kind, words = key.data
            try:
                if not key.fileobj.recv(65536): raise OSError("ended")
                beats[kind] += 1
            except BlockingIOError: continue
            except OSError:
                ended[kind].append(time.monotonic())
                watched.unregister(key.fileobj)
                continue
threading.Thread(target=look, daemon=True).start()
def report(): return {"ended": ended, "beats": beats}
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(report()), flush=True)
"#;

/// Answers that go on and on, slowly.
const TRICKLE: &str = r#"
import socket, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("transfer-encoding", "chunked"); self.end_headers()
        try:
            while True:
                self.wfile.write(b"1\r\nx\r\n")
                time.sleep(0.1)
        except OSError: self.close_connection = True
    def log_message(self, *_): pass
class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128
print("web is serving", flush=True)
Server(("::", 8080), Handler).serve_forever()
"#;

#[test]
fn all_that_a_save_forbids_ends_together() {
    let policy = |cache: bool, paths: &str| {
        let cache = match cache {
            true => "    - { service: cache, operations: [connect] }\n",
            false => "",
        };
        format!(
            "apiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: agent }}\n\
             spec:\n  agent: agent\n  initiate:\n    - {{ service: web, operations: [{paths}] }}\n{cache}"
        )
    };
    let node = NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .file("policy.yaml", &policy(true, "GET /stays, GET /goes"))
        .start()
        .unwrap();
    let start = |name: &str, text: &str, says: &str| {
        let path = workdir(&node, &format!("work-{name}"), "program.py", text);
        let launch = node.workload(name).workdir(&path).open_stdin();
        let mut running = launch.spawn(&[PYTHON, "-u", "program.py"]).unwrap();
        running.wait_until_it_says(says).unwrap();
        running
    };
    let (_web, _cache) = (
        start("web", TRICKLE, "is serving"),
        start("cache", CACHE, "is serving"),
    );
    let mut holder = Puppet::of(start("agent", HOLDER, "ready"));
    node.reload("policy.yaml", &policy(false, "GET /stays"))
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let ended = loop {
        let told = holder.tell(json!([]));
        let ended: Vec<f64> = ["cache", "/goes"]
            .iter()
            .flat_map(|kind| told["ended"][*kind].as_array().unwrap())
            .map(|at| at.as_f64().unwrap())
            .collect();
        assert_eq!(told["ended"]["/stays"], json!([]), "{told}");
        if ended.len() == 90 {
            break ended;
        }
        assert!(
            Instant::now() < deadline,
            "{} of 90 have ended",
            ended.len()
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    let first = ended.iter().copied().fold(f64::INFINITY, f64::min);
    let last = ended.iter().copied().fold(0.0, f64::max);
    eprintln!("90 ended within {:.1} ms", (last - first) * 1000.0);
    // Seen by a busy program on a busy machine; one after another with a pause for each would take far longer.
    assert!(last - first < 1.0, "{first} {last}");
    let before = holder.tell(json!([]))["beats"]["/stays"].as_u64();
    std::thread::sleep(SETTLED);
    let told = holder.tell(json!([]));
    assert!(told["beats"]["/stays"].as_u64() > before, "{told}");
    assert_eq!(told["ended"]["/stays"], json!([]), "{told}");
}
