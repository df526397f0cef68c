//! Traffic that is counted at both ends: a server that notes each request it sees, and callers that never send one twice.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Node, Running};

use crate::e2e_support::{BINARY, PYTHON, serve, workdir};

/// Notes each connection that it accepts, and the number of each request before it is answered.
pub(crate) const SERVER: &str = r#"
import os, socket, socketserver
seen = os.open("seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
accepted = os.open("accepted", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        os.write(accepted, b"+")
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    got = self.request.recv(65536)
                    if not got:
                        return
                    data += got
                head, data = data.split(b"\r\n\r\n", 1)
                path = head.split(b" ", 2)[1]
                os.write(seen, path[3:] + b"\n")
                self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except ConnectionError:
            pass
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
server = Server(("::", 8080), Handler)
print("web is serving", flush=True)
server.serve_forever()
"#;

/// Four threads that send requests, each with a number of its own and none twice, until stdin ends.
const CALLER: &str = r#"
import socket, sys, threading, time
base, address = int(sys.argv[1]), socket.gethostbyname("web")
over = threading.Event()
answered, failed = [0] * 4, [0] * 4
def call(thread):
    connection, number = None, (base * 4 + thread) * 10**8
    while not over.is_set():
        number += 1
        try:
            if connection and number % 25 == 0:
                connection.close()
                connection = None
            if connection is None:
                connection = socket.create_connection((address, 8080), timeout=3)
            connection.sendall(b"GET /n/%d HTTP/1.1\r\nhost: web\r\n\r\n" % number)
            data = b""
            while not data.endswith(b"ok"):
                got = connection.recv(4096)
                data += got
                if not got or not data.startswith(b"HTTP/1.1 200"):
                    raise OSError("no")
            answered[thread] += 1
        except OSError:
            failed[thread] += 1
            if connection:
                connection.close()
            connection = None
            time.sleep(0.005)
        time.sleep(0.001)
threads = [threading.Thread(target=call, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
print("calling", flush=True)
sys.stdin.readline()
over.set()
for thread in threads: thread.join()
print("answered", sum(answered), "failed", sum(failed), flush=True)
"#;

/// A server and its callers. Callers are ended before it.
pub(crate) struct Traffic {
    callers: Vec<Running>,
    web: Running,
}

impl Traffic {
    /// So many processes call, of four threads each.
    pub(crate) fn start(node: &Node, callers: usize) -> Self {
        let web = serve(node, "web", SERVER);
        let start = |number: usize| {
            let path = workdir(node, &format!("work-{number}"), "caller.py", CALLER);
            let launch = node.workload("agent").workdir(&path).open_stdin();
            let base = number.to_string();
            let mut running = launch.spawn(&[PYTHON, "-u", "caller.py", &base]).unwrap();
            running.wait_until_it_says("calling").unwrap();
            running
        };
        Self {
            callers: (0..callers).map(start).collect(),
            web,
        }
    }

    /// Ends the callers: how many requests were answered, and how many failed.
    pub(crate) fn end(&mut self) -> (u64, u64) {
        let (mut answered, mut failed) = (0, 0);
        for mut caller in self.callers.drain(..) {
            let said = caller.wait().unwrap().ok().stdout;
            let words: Vec<&str> = said.split_whitespace().collect();
            let ["calling", "answered", yes, "failed", no] = words[..] else {
                panic!("{said}");
            };
            answered += yes.parse::<u64>().unwrap();
            failed += no.parse::<u64>().unwrap();
        }
        (answered, failed)
    }
}

/// The requests that the server saw.
pub(crate) fn seen(node: &Node) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(node.host().path().join("work-web/seen")).unwrap();
    let mut seen = BTreeSet::new();
    // The last line may be on its way.
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    for line in whole.lines() {
        assert!(seen.insert(line.parse().unwrap()), "{line} arrived twice");
    }
    seen
}

/// What is in the log of a node.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) records: u64,
    pub(crate) void: u64,
    /// Places that the log itself says were made void.
    pub(crate) said_void: u64,
    /// What operators, the node and the log itself did: operation, reason, count.
    pub(crate) events: Vec<(String, String, u64)>,
    /// How often each request is recorded as let through.
    pub(crate) requests: BTreeMap<u64, u64>,
}

impl Recorded {
    /// What `observe` says of it.
    pub(crate) fn read(state: &Path) -> Self {
        let mut observe = Command::new(BINARY)
            .args(["observe", "-o", "json", "--state"])
            .arg(state)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(observe.stdout.take().unwrap()).lines();
        let log = Self::of(lines.map(Result::unwrap));
        assert!(observe.wait().unwrap().success());
        log
    }

    /// What lines of JSON say of it.
    pub(crate) fn of(lines: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let mut log = Self::default();
        for line in lines {
            let record: FlowRecord = serde_json::from_str(line.as_ref()).unwrap();
            assert_eq!(record.seq, log.records, "a gap");
            log.records += 1;
            match record.kind {
                RecordKind::Void => log.void += 1,
                RecordKind::Event => {
                    if record.reason.contains("its place is void") {
                        log.said_void += 1;
                    }
                    log.events
                        .push((record.operation, record.reason, record.count));
                }
                RecordKind::Operation if record.outcome == Outcome::Allow => {
                    if let Some(number) = record.operation.strip_prefix("GET /n/") {
                        *log.requests.entry(number.parse().unwrap()).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        log
    }
}

impl Recorded {
    /// Each request in `seen` is recorded, and none twice.
    pub(crate) fn has_all(&self, seen: &BTreeSet<u64>) {
        let missing: Vec<&u64> = seen
            .iter()
            .filter(|number| !self.requests.contains_key(number))
            .collect();
        assert_eq!(missing, [&0; 0], "requests that arrived without a record");
        let twice = self.requests.iter().find(|(_, times)| **times != 1);
        assert_eq!(twice, None, "a request was recorded twice");
    }
}
