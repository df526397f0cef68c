//! `kill -9` of the enforcer, and of node and enforcer, at random moments under load: every request that the *server* saw has its
//! record, numbers have no gap, a place that was reserved and never completed says so, and `audit verify` has no doubt.
//!
//! Some dozen kills by default; `RINGFENCE_KILLS=1000` is the whole thousand, `scripts/kill-a-thousand-times` runs it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use e2e_support::{PYTHON, options, serve, workdir};
use ringfence_audit::Reader;
use ringfence_model::FlowRecord;
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Node, Running};

/// Kills, where nobody asks for more.
const KILLS: u64 = 44;
/// One in so many is of the whole node. In between an enforcer that keeps ending is started later each time.
const NODE_EVERY: u64 = 4;
/// Longest that an enforcer lives, from when all compartments are watched.
const LIVES: u64 = 250;
/// Processes of callers.
const CALLERS: usize = 2;

/// Notes the number of each request before it is answered.
const SERVER: &str = r#"
import os, socket, socketserver
seen = os.open("seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
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

/// Chance that is the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % bound
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The enforcer that there is now, serving or not.
fn enforcer_now(node: &Node) -> Option<u32> {
    let status = node.status().ok()?.1;
    let pid = status["enforcer"]["pid"].as_u64()?;
    u32::try_from(pid).ok()
}

fn callers(node: &Node) -> Vec<Running> {
    let start = |number: usize| {
        let path = workdir(node, &format!("work-{number}"), "caller.py", CALLER);
        let launch = node.workload("agent").workdir(&path).open_stdin();
        let base = number.to_string();
        let mut running = launch.spawn(&[PYTHON, "-u", "caller.py", &base]).unwrap();
        running.wait_until_it_says("calling").unwrap();
        running
    };
    (0..CALLERS).map(start).collect()
}

/// What is in the log of a node that was stopped.
#[derive(Default)]
struct Log {
    records: u64,
    void: u64,
    /// Places that the log itself says were made void.
    said_void: u64,
    /// How often each request is recorded as let through.
    requests: BTreeMap<u64, u64>,
}

impl Log {
    fn read(state: &Path) -> Self {
        let mut reader = Reader::open(&state.join("log")).unwrap();
        let mut log = Self::default();
        while let Some((seq, flow)) = reader.read().unwrap() {
            assert_eq!(seq.0, log.records, "a gap");
            log.records += 1;
            let record = FlowRecord::new(seq.0, &flow).unwrap();
            match record.kind {
                RecordKind::Void => log.void += 1,
                RecordKind::Event if record.operation == "flow log repaired" => {
                    assert!(record.reason.contains("its place is void"), "{record:?}");
                    log.said_void += 1;
                }
                RecordKind::Operation if record.outcome == Outcome::Allow => {
                    if let Some(number) = record.operation.strip_prefix("GET /n/") {
                        *log.requests.entry(number.parse().unwrap()).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        assert_eq!(reader.unfinished(), 0);
        log
    }
}

#[test]
fn kill_9_at_any_moment_loses_no_request_that_the_server_saw() {
    let kills = number_from("RINGFENCE_KILLS").unwrap_or(KILLS);
    let seed = number_from("RINGFENCE_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_nanos() as u64
    });
    println!("RINGFENCE_SEED={seed}");
    let mut chance = Chance(seed);
    let mut node = options().start().unwrap();
    let web = serve(&node, "web", SERVER);
    let callers = callers(&node);
    let begun = Instant::now();
    let mut killed = (0_u64, 0_u64);
    let mut longest = Duration::ZERO;
    while killed.0 + killed.1 < kills {
        // Mostly while it serves; sometimes while it starts, and mends its log.
        let whole = (killed.0 + killed.1) % NODE_EVERY == NODE_EVERY - 1;
        if whole || chance.below(4) > 0 {
            node.await_enforcer_after(0).unwrap();
        }
        std::thread::sleep(Duration::from_micros(chance.below(1000 * LIVES)));
        if whole {
            node.kill().unwrap();
            let since = Instant::now();
            node.up().unwrap();
            longest = longest.max(since.elapsed());
            killed.1 += 1;
        } else if let Some(pid) = enforcer_now(&node)
            && node.host().signal("KILL", pid).is_ok()
        {
            killed.0 += 1;
        }
    }
    let took = begun.elapsed();
    node.await_enforcer_after(0).unwrap();
    // It goes on as before.
    std::thread::sleep(Duration::from_millis(300));
    let (mut answered, mut failed) = (0, 0);
    for mut caller in callers {
        let said = caller.wait().unwrap().ok().stdout;
        let words: Vec<&str> = said.split_whitespace().collect();
        let ["calling", "answered", yes, "failed", no] = words[..] else {
            panic!("{said}");
        };
        answered += yes.parse::<u64>().unwrap();
        failed += no.parse::<u64>().unwrap();
    }
    node.stop().unwrap();

    let seen = std::fs::read_to_string(node.host().path().join("work-web/seen")).unwrap();
    drop(web);
    let mut numbers = BTreeSet::new();
    for line in seen.lines() {
        assert!(
            numbers.insert(line.parse::<u64>().unwrap()),
            "{line} arrived twice"
        );
    }
    let log = Log::read(node.state());
    println!(
        "killed {} enforcers and {} nodes within {:.0} s; the server saw {} requests, callers {answered} answers and {failed} \
         failures; {} records, {} void; a node was up again within {:.2} s",
        killed.0,
        killed.1,
        took.as_secs_f64(),
        numbers.len(),
        log.records,
        log.void,
        longest.as_secs_f64()
    );
    let missing: Vec<&u64> = numbers
        .iter()
        .filter(|number| !log.requests.contains_key(number))
        .collect();
    assert_eq!(missing, [&0; 0], "requests that arrived without a record");
    assert!(
        log.requests.values().all(|times| *times == 1),
        "a request was recorded twice"
    );
    assert_eq!(
        log.void, log.said_void,
        "a void place that the log does not tell of"
    );
    // The test is about something.
    assert!(
        answered <= numbers.len() as u64 && numbers.len() as u64 > 20 * kills,
        "{answered}"
    );
    assert!(failed > kills / 2, "{failed}");

    let verified = node.verb("audit verify", &["-o", "json"]).unwrap();
    assert_eq!(
        verified.code,
        Some(0),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
    let report: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(report["void"], log.void);
    assert_eq!(
        (&report["checked"], &report["signed"]),
        (&log.records.into(), &log.records.into())
    );
}
