//! What the end-to-end tests share: an estate, real services, an agent that does as it is told.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod living;

use std::path::PathBuf;
use std::time::Duration;

use ringfence_model::FlowRecord;
use ringfence_testbed::{Caller, Node, NodeOptions, Output, Running};

pub(crate) const PYTHON: &str = "/usr/bin/python3";
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_ringfence");

/// Two services the agent may use, one it may not, and one address that is nobody's.
pub(crate) const SERVICES: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: web }
spec: { protocol: http, port: 8080, hosts: [web.example.test] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: cache }
spec: { protocol: tcp, port: 6379 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: vault }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: does what tests tell it }
"#;

pub(crate) const POLICY: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  mode: enforce
  initiate:
    - service: web
      operations: ["GET /**", "HEAD /**", "PUT /upload/*", "POST /items"]
    - service: cache
      operations: [connect]
  tests:
    - { to: web, allow: "GET /items/1" }
    - { to: vault, deny: "GET /" }
"#;

/// A user who runs nothing of the node's.
pub(crate) const STRANGER: &str = "54322";

/// An agent that only that one may start.
pub(crate) const THEIRS: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: theirs }
spec: { attest: { uid: 54322 } }
"#;

/// The same without the cache.
pub(crate) fn policy_without_cache() -> String {
    POLICY.replace("    - service: cache\n      operations: [connect]\n", "")
}

/// An HTTP service that tells what it received. `POST /items` counts, `GET /big/N` sends N MiB.
const WEB: &str = r#"
import hashlib, json, socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    items = 0

    def body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                while size:
                    piece = self.rfile.read(min(size, 65536))
                    size -= len(piece)
                    yield piece
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        left = int(self.headers.get("content-length") or 0)
        while left:
            piece = self.rfile.read(min(left, 65536))
            left -= len(piece)
            yield piece

    def answer(self):
        digest, length = hashlib.sha256(), 0
        for piece in self.body():
            digest.update(piece)
            length += len(piece)
        if self.command == "POST":
            Handler.items += 1
        if self.path.startswith("/big/"):
            size = int(self.path[5:]) << 20
            self.send_response(200)
            self.send_header("content-length", str(size))
            self.end_headers()
            for _ in range(size >> 16):
                self.wfile.write(b"x" * 65536)
            return
        told = {"method": self.command, "path": self.path, "from": self.client_address[0],
                "headers": [[k.lower(), v] for k, v in self.headers.items()], "length": length,
                "sha256": digest.hexdigest(), "port": self.client_address[1], "items": Handler.items}
        payload = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, *_):
        print(self.command, self.path, flush=True)

class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

server = Server(("::", 8080), Handler)
print("web is serving", flush=True)
server.serve_forever()
"#;

/// A TCP service that echoes, and says whom it hears.
const ECHO: &str = r#"
import socketserver

class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        print("connected", self.client_address[0], flush=True)
        while data := self.request.recv(65536):
            self.request.sendall(data)
        print("ended", flush=True)

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

server = Server(("0.0.0.0", 6379), Echo)
print("cache is serving", flush=True)
server.serve_forever()
"#;

/// An agent that takes one JSON command a line on stdin and answers each with one line.
pub(crate) const PUPPET: &str = r#"
import json, socket, sys, time, http.client

kept = {}

def get(method, path, host="web", port=8080, body=None, authority=None):
    conn = http.client.HTTPConnection(host, port, timeout=5)
    try:
        conn.request(method, path, body=body, headers={"Host": authority} if authority else {})
        answer = conn.getresponse()
        text = answer.read().decode(errors="replace")
        return {"status": answer.status, "body": text}
    except (OSError, http.client.HTTPException) as error:
        return {"error": f"{type(error).__name__} {error}"}
    finally:
        conn.close()

def open_tcp(name, host, port):
    try:
        kept[name] = socket.create_connection((host, port), timeout=5)
        return {"open": name}
    except OSError as error:
        return {"error": str(error)}

def say(name, text):
    try:
        kept[name].sendall(text.encode())
        return {"heard": kept[name].recv(4096).decode()}
    except OSError as error:
        return {"error": str(error)}

def tcp(host, port, times=1, payload="hello"):
    reached = 0
    for _ in range(times):
        try:
            with socket.create_connection((host, port), timeout=5) as sock:
                sock.sendall(payload.encode())
                reached += bool(sock.recv(100))
        except OSError:
            pass
    return {"reached": reached}

def address(host):
    return {"address": socket.gethostbyname(host)}

def udp(host, port, times=1):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for _ in range(times):
            try:
                sock.sendto(b"hello", (host, port))
            except OSError as refused:
                return {"error": str(refused)}
    return {"sent": times}

def open_udp(name, host, port):
    try:
        kept[name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        kept[name].settimeout(1)
        kept[name].connect((host, port))
        return {"open": name}
    except OSError as error:
        return {"error": str(error)}

def say_in_datagrams(name, text, tries=3):
    # A datagram may be lost on a busy machine.
    for _ in range(tries):
        try:
            kept[name].send(text.encode())
            return {"heard": kept[name].recv(4096).decode()}
        except OSError as error:
            told = {"error": str(error)}
    return told

def remember(name, host):
    kept[name] = socket.gethostbyname(host)
    return {"address": kept[name]}

def tcp_to(name, port):
    return tcp(kept[name], port)

def resolves(host):
    try:
        return {"address": socket.gethostbyname(host)}
    except OSError as error:
        return {"error": str(error)}

def until_refused(path, limit):
    conn = http.client.HTTPConnection("web", 8080, timeout=5)
    for number in range(limit):
        try:
            conn.request("GET", path)
            answer = conn.getresponse()
            answer.read()
            if answer.status != 200:
                return {"served": number, "status": answer.status}
        except (OSError, http.client.HTTPException) as error:
            return {"served": number, "error": type(error).__name__}
    return {"served": limit}

def until_served(path, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        told = get("GET", path)
        if told.get("status") == 200:
            return told
        # Far below what a compartment may ask of DNS: over that it would wait for answers instead of trying.
        time.sleep(0.01)
    return told

print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(globals()[name](*arguments)), flush=True)
"#;

/// Starts a node on the estate above, as `caller`.
pub(crate) fn start_as(caller: Caller) -> Node {
    options().caller(caller).start().unwrap()
}

/// Starts a node on the estate above, as whoever runs the tests.
pub(crate) fn start() -> Node {
    options().start().unwrap()
}

pub(crate) fn options() -> NodeOptions {
    NodeOptions::new(BINARY)
        .file("services.yaml", SERVICES)
        .file("policy.yaml", POLICY)
}

/// A working directory with a program in it.
pub(crate) fn workdir(node: &Node, name: &str, file: &str, text: &str) -> PathBuf {
    let path = node.host().directory(name).unwrap();
    std::fs::write(path.join(file), text).unwrap();
    node.host().own(&path.join(file)).unwrap();
    path
}

/// Starts a python program as `name` and waits until it serves.
pub(crate) fn serve(node: &Node, name: &str, program: &str) -> Running {
    let path = workdir(node, &format!("work-{name}"), "service.py", program);
    let mut running = node
        .workload(name)
        .workdir(&path)
        .spawn(&[PYTHON, "-u", "service.py"])
        .unwrap();
    running.wait_until_it_says("is serving").unwrap();
    running
}

/// The HTTP service `web`, serving.
pub(crate) fn web(node: &Node) -> Running {
    serve(node, "web", WEB)
}

/// The same program as `vault`, which the agent may not use.
pub(crate) fn vault(node: &Node) -> Running {
    serve(node, "vault", WEB)
}

/// The echoing TCP service `cache`, serving.
pub(crate) fn cache(node: &Node) -> Running {
    serve(node, "cache", ECHO)
}

/// Runs curl as the agent: quiet, bounded, the status code on a last line of its own.
pub(crate) fn curl(node: &Node, arguments: &[&str]) -> (Output, String, u32) {
    let mut words = vec!["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}"];
    words.extend(arguments);
    let output = node.run("agent", &words).unwrap();
    let (body, code) = output.stdout.rsplit_once('\n').unwrap_or(("", "0"));
    let (body, code) = (body.to_owned(), code.parse().unwrap());
    (output, body, code)
}

/// A running agent that does as it is told.
pub(crate) struct Puppet {
    pub(crate) running: Running,
    answers: usize,
}

impl Puppet {
    pub(crate) fn start(node: &Node) -> Self {
        let path = workdir(node, "work-agent", "puppet.py", PUPPET);
        let launch = node.workload("agent").workdir(&path).open_stdin();
        let mut running = launch.spawn(&[PYTHON, "-u", "puppet.py"]).unwrap();
        running.wait_until_it_says("ready").unwrap();
        Self::of(running)
    }

    /// One that has said that it is ready.
    pub(crate) fn of(running: Running) -> Self {
        Self {
            running,
            answers: 0,
        }
    }

    /// Gives one command and waits for the answer.
    pub(crate) fn tell(&mut self, command: serde_json::Value) -> serde_json::Value {
        self.running
            .process
            .write(format!("{command}\n").as_bytes())
            .unwrap();
        self.answers += 1;
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let said = self.running.process.stdout();
            let complete = said
                .ends_with('\n')
                .then(|| said.lines().nth(self.answers))
                .flatten();
            if let Some(line) = complete {
                return serde_json::from_str(line).unwrap();
            }
            assert!(
                self.running.process.is_running().unwrap(),
                "{said}{}",
                self.running.process.stderr()
            );
            assert!(
                std::time::Instant::now() < deadline,
                "no answer to {command}: {said}"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// How many attempts these records stand for.
pub(crate) fn attempts(records: &[FlowRecord]) -> u64 {
    records.iter().map(|record| record.count).sum()
}

/// An agent and its policy.
pub(crate) fn agent(name: &str, mode: &str, initiate: &str) -> String {
    format!(
        "\
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: {{ name: {name} }}
spec: {{ purpose: does what tests tell it }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: {{ name: {name} }}
spec:
  agent: {name}
  {mode}
  initiate: {initiate}
"
    )
}
