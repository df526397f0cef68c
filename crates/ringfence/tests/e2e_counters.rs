//! Counters outside our code agree with the log to the unit, also under overload: the kernel's count of connections that a
//! compartment tries (an nft counter in its namespace), the server's own count of what it accepts, the callers' count of what they
//! were answered; and the sum of `count` in the log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;
mod e2e_traffic;

use std::time::{Duration, Instant};

use e2e_support::{PYTHON, attempts, options, serve, workdir};
use e2e_traffic::{Recorded, SERVER, seen};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Node, Running};

/// Threads of each storm, and what each of them tries.
const THREADS: u64 = 12;
const EACH: u64 = 250;

/// Connections, one after the other, in as many threads as it is told; says how many it tried, and what came of them.
const STORM: &str = r#"
import socket, sys, threading
what, base, threads, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
web = socket.gethostbyname("web")
tried, answered, refused = [0] * threads, [0] * threads, [0] * threads
def ask(connection, method, number):
    connection.sendall(b"%s /n/%d HTTP/1.1\r\nhost: web\r\n\r\n" % (method, number))
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(65536)
        if not got:
            return b""
        data += got
    return data.split(b" ", 2)[1]
def storm(t):
    for n in range(each):
        to = {"same": ("100.64.77.1", 22), "different": (f"10.{t}.{n // 250}.{n % 250 + 1}", 1024 + n % 7)}
        tried[t] += 1
        with socket.socket() as connection:
            connection.settimeout(60)
            try:
                connection.connect(to.get(what, (web, 8080)))
                if what in to:
                    connection.recv(1)
                    continue
                status = ask(connection, b"DELETE" if what == "refused" else b"GET", (base + t) * 10**6 + n)
                answered[t] += status == b"200"
                refused[t] += status == b"403"
            except OSError:
                pass
print("ready", flush=True)
sys.stdin.readline()
all = [threading.Thread(target=storm, args=(t,)) for t in range(threads)]
for one in all: one.start()
for one in all: one.join()
print("tried", sum(tried), "answered", sum(answered), "refused", sum(refused), flush=True)
# Its namespace is still to be read.
sys.stdin.readline()
"#;

/// Counts each first packet of a connection that something in the namespace opens.
const WITNESS: &str = "table inet witness {
    chain opened { type filter hook output priority -500; policy accept; tcp flags & (syn | ack) == syn counter
    }
}";

struct Storm {
    what: &'static str,
    running: Running,
    /// A process in its namespaces.
    inside: u32,
    instance: String,
}

impl Storm {
    fn start(node: &Node, what: &'static str, base: u64) -> Self {
        let path = workdir(node, &format!("work-{what}"), "storm.py", STORM);
        let launch = node.workload("agent").workdir(&path).open_stdin();
        let numbers = [base, THREADS, EACH].map(|number| number.to_string());
        let [base, threads, each] = numbers.each_ref();
        let words = [PYTHON, "-u", "storm.py", what, base, threads, each];
        let mut running = launch.spawn(&words).unwrap();
        running.wait_until_it_says("ready").unwrap();
        let processes = node.host().processes().unwrap();
        let own = |words: &String| {
            words.contains(&format!("storm.py {what} ")) && words.starts_with(PYTHON)
        };
        let inside = processes.iter().find(|(_, words)| own(words)).unwrap().0;
        let workloads = node.status().unwrap().1["workloads"].clone();
        let workloads = workloads.as_array().unwrap().iter();
        let mut mine = workloads.filter(|it| it["pid"] == running.pid);
        let instance = mine.next().unwrap()["instance"]
            .as_str()
            .unwrap()
            .to_owned();
        let storm = Self {
            what,
            running,
            inside,
            instance,
        };
        let add = format!("nft -f - <<'END'\n{WITNESS}\nEND");
        storm.inside(node, &["sh", "-c", &add]);
        assert_eq!(storm.opened(node), 0);
        storm
    }

    /// Runs a command in its network namespace.
    fn inside(&self, node: &Node, words: &[&str]) -> String {
        let pid = self.inside.to_string();
        let mut all = vec!["nsenter", "-t", &pid, "--net", "--"];
        all.extend(words);
        node.host().run_as_root(all).unwrap().ok().stdout
    }

    /// What the kernel counted: first packets of connections, less those that it sent again.
    fn opened(&self, node: &Node) -> u64 {
        let listed = self.inside(node, &["nft", "list", "table", "inet", "witness"]);
        let words: Vec<&str> = listed.split_whitespace().collect();
        let packets = words.iter().position(|word| *word == "packets").unwrap();
        let packets: u64 = words[packets + 1].parse().unwrap();
        let stat = self.inside(
            node,
            &["cat", &format!("/proc/{}/net/netstat", self.inside)],
        );
        let mut lines = stat.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let mut both = names.split(' ').zip(values.split(' '));
        let again: u64 = both
            .find(|(name, _)| *name == "TCPSynRetrans")
            .unwrap()
            .1
            .parse()
            .unwrap();
        packets - again
    }

    fn go(&mut self) {
        self.running.process.write(b"go\n").unwrap();
    }

    /// What it says: tried, answered, refused.
    fn ended(&mut self) -> [u64; 3] {
        self.running.wait_until_it_says("refused").unwrap();
        let said = self.running.process.stdout();
        let line = said.lines().find(|line| line.starts_with("tried")).unwrap();
        let words: Vec<u64> = line
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        words.try_into().unwrap()
    }
}

/// The log, once it counts `expected` connections and no more come.
fn settled(node: &Node, expected: u64) -> Vec<FlowRecord> {
    let connections = |records: &[FlowRecord]| -> u64 {
        let tried = records.iter().filter(|record| is_connection(record));
        tried.map(|record| record.count).sum()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while connections(&node.flows().unwrap()) < expected && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    // What is folded is written when its second is over.
    std::thread::sleep(Duration::from_millis(1500));
    node.flows().unwrap()
}

fn is_connection(record: &FlowRecord) -> bool {
    record.kind == RecordKind::Connection && record.protocol != "dns"
}

#[test]
fn what_the_kernel_the_server_and_the_callers_counted_is_what_the_log_says() {
    let node = options().start().unwrap();
    let web = serve(&node, "web", SERVER);
    // All at once: what is allowed goes on in storms of what is not.
    let mut storms: Vec<Storm> = ["allowed", "same", "different", "refused"]
        .into_iter()
        .zip(0..)
        .map(|(what, n)| Storm::start(&node, what, n * THREADS))
        .collect();
    storms.iter_mut().for_each(Storm::go);
    let ended: Vec<[u64; 3]> = storms.iter_mut().map(Storm::ended).collect();
    let opened: Vec<u64> = storms.iter().map(|storm| storm.opened(&node)).collect();
    let total = opened.iter().sum();
    let records = settled(&node, total);
    for ((storm, [tried, answered, refused]), opened) in storms.iter().zip(ended).zip(opened) {
        let what = storm.what;
        let counted = |wanted: &dyn Fn(&FlowRecord) -> bool| {
            let mine =
                |record: &&FlowRecord| record.source_instance == storm.instance && wanted(record);
            let mine: Vec<FlowRecord> = records.iter().filter(mine).cloned().collect();
            (attempts(&mine), mine)
        };
        assert_eq!(tried, THREADS * EACH, "{what}");
        assert_eq!(
            opened, tried,
            "{what}: what the kernel saw, and what was tried"
        );
        assert_eq!(counted(&is_connection).0, opened, "{what}: connections");
        let denied = |record: &FlowRecord| record.outcome == Outcome::Deny;
        match what {
            "allowed" => assert_eq!((answered, refused), (tried, 0)),
            "refused" => {
                assert_eq!((answered, refused), (0, tried));
                let of_http = |record: &FlowRecord| {
                    record.kind == RecordKind::Operation
                        && record.protocol == "http"
                        && denied(record)
                };
                assert_eq!(counted(&of_http).0, refused, "answers of 403");
            }
            _ => {
                assert_eq!((answered, refused), (0, 0), "{what}");
                let (count, denied) = counted(&|record| is_connection(record) && denied(record));
                assert_eq!(count, opened, "{what}: denied");
                // The storm was one: not each attempt has a record of its own.
                assert!(denied.iter().any(|record| record.count > 1), "{what}");
            }
        }
    }
    // The server's side: it accepted what was let through, and nothing else.
    let accepted = std::fs::read(node.host().path().join("work-web/accepted")).unwrap();
    let requests = seen(&node);
    assert_eq!(accepted.len() as u64, THREADS * EACH);
    assert_eq!(requests.len() as u64, THREADS * EACH);
    let log = Recorded::read(node.state());
    log.has_all(&requests);
    assert_eq!(log.requests.len(), requests.len());
    println!(
        "{total} connections of four storms, each counted by the kernel; {} accepted by the server",
        accepted.len()
    );
    // And `audit verify`, which counts all attempts, says what `observe` says.
    let verified = node.verb("audit verify", &["-o", "json"]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    let all = node.flows_where(0, |record| {
        matches!(
            record.kind,
            RecordKind::Connection | RecordKind::Operation | RecordKind::Wall
        )
    });
    assert_eq!(
        (verified.code, &report["attempts"]),
        (Some(0), &attempts(&all.unwrap()).into())
    );
    drop((storms, web));
}
