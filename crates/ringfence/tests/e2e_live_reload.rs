//! Policy is saved a hundred times under real load: whoever may stay connected is never disturbed, what no version allows never
//! arrives, and both ends count the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{BINARY, PYTHON, workdir};
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
