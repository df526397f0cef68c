//! `up --durability disk`: a request reaches its server only once its record is on the disk, which `strace` of the enforcer shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::path::PathBuf;
use std::time::Duration;

use e2e_support::{BINARY, PYTHON, Puppet, options, web, workdir};
use ringfence_model::RecordKind;
use ringfence_testbed::{Node, Process};
use serde_json::json;

const REQUESTS: usize = 15;
const CALLERS: usize = 8;
const EACH: usize = 30;

/// Callers at the same time, each on a connection of its own.
const CROWD: &str = r#"
import http.client, sys, threading
def call(number):
    conn = http.client.HTTPConnection("web", 8080, timeout=60)
    for n in range(int(sys.argv[2])):
        conn.request("GET", f"/crowd/{number}/{n}")
        answer = conn.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
threads = [threading.Thread(target=call, args=(n,)) for n in range(int(sys.argv[1]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done", flush=True)
"#;

fn start(durability: &str) -> Node {
    let options = options().up_arguments(&["--durability", durability]);
    options.start().unwrap()
}

/// What the enforcer receives, sends and writes back, from now on.
struct Trace<'a> {
    node: &'a Node,
    tracer: Process,
    file: PathBuf,
}

impl<'a> Trace<'a> {
    /// `more`: options of strace.
    fn of(node: &'a Node, more: &str) -> Self {
        let file = node.host().directory("trace").unwrap().join("enforcer");
        let enforcer = node.enforcer().unwrap().to_string();
        let script = r#"echo "tracer $$."; exec strace -f -s 256 -e trace=%network,read,readv,write,writev,fdatasync,fsync $2 -p "$0" -o "$1""#;
        let words = ["sh", "-c", script, &enforcer, file.to_str().unwrap(), more];
        let tracer = node.host().start_as_root(words).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !tracer.stderr().contains("attached") {
            let said = tracer.stderr();
            assert!(std::time::Instant::now() < deadline, "strace: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { node, tracer, file }
    }

    /// The calls, in the order in which they ended.
    fn end(mut self) -> Vec<String> {
        let said = self.tracer.stdout();
        let (_, pid) = said.split_once("tracer ").unwrap();
        let pid = pid.split_once('.').unwrap().0.parse().unwrap();
        self.node.host().signal("INT", pid).unwrap();
        self.tracer.wait(Duration::from_secs(20)).unwrap();
        let lines = std::fs::read_to_string(&self.file).unwrap();
        lines.lines().map(str::to_owned).collect()
    }
}

fn synced(call: &str) -> bool {
    // Behind it: that it was delayed.
    call.contains("fdatasync") && call.contains("= 0")
}

/// Whether something was written back between the end of the call by which the enforcer received `request` and that by which it
/// sent it on.
fn on_the_disk_first(calls: &[String], request: &str) -> bool {
    let with = |call: &&String| call.contains(request);
    let sends = ["send", "write", "writev"];
    let sent = |call: &String| {
        let words = call
            .split_once(' ')
            .map_or("", |(_, call)| call.trim_start());
        sends.iter().any(|name| words.starts_with(name))
    };
    let received = calls.iter().position(|call| with(&call) && !sent(call));
    let passed = calls.iter().position(|call| with(&call) && sent(call));
    let (Some(received), Some(passed)) = (received, passed) else {
        let of_it: Vec<&String> = calls.iter().filter(with).collect();
        panic!("{request}: {of_it:?}");
    };
    assert!(received < passed, "{request}");
    calls[received..passed].iter().any(|call| synced(call))
}

#[test]
fn with_disk_a_request_reaches_the_server_only_once_its_record_is_on_the_disk() {
    for (durability, waits) in [("disk", true), ("memory", false)] {
        let node = start(durability);
        let _web = web(&node);
        let mut agent = Puppet::start(&node);
        assert_eq!(agent.tell(json!(["get", "GET", "/items/0"]))["status"], 200);
        let trace = Trace::of(&node, "");
        for n in 0..REQUESTS {
            let path = format!("/items/traced-{n}.");
            assert_eq!(agent.tell(json!(["get", "GET", path]))["status"], 200);
        }
        let calls = trace.end();
        let first = (0..REQUESTS)
            .filter(|n| on_the_disk_first(&calls, &format!("GET /items/traced-{n}.")))
            .count();
        if waits {
            assert_eq!(first, REQUESTS);
        } else {
            // Those that came while the log was written back, as it is each second.
            assert!(first <= 3, "{first}");
        }
        let (code, status) = node.status().unwrap();
        assert_eq!(
            (code, &status["log"]["durability"]),
            (0, &json!(durability))
        );
        let shown = node.verb("status", &[]).unwrap().stdout;
        assert_eq!(
            shown.contains("each record on the disk first"),
            waits,
            "{shown}"
        );
    }
}

#[test]
fn callers_at_the_same_time_share_what_the_disk_takes() {
    let node = start("disk");
    let _web = web(&node);
    let path = workdir(&node, "work-crowd", "crowd.py", CROWD);
    // A disk that takes its time, as most do.
    let trace = Trace::of(&node, "-e inject=fdatasync:delay_enter=20000");
    let (callers, each) = (CALLERS.to_string(), EACH.to_string());
    let crowd = node.workload("agent").workdir(&path);
    let output = crowd
        .run(&[PYTHON, "crowd.py", &callers, &each])
        .unwrap()
        .ok();
    assert!(output.stdout.contains("done"), "{output:?}");
    let syncs = trace.end().iter().filter(|call| synced(call)).count();
    let operations = node
        .flows_where(0, |r| {
            r.kind == RecordKind::Operation && r.operation.contains("/crowd/")
        })
        .unwrap();
    assert_eq!(operations.len(), CALLERS * EACH);
    println!(
        "{syncs} write-backs for {} requests of {CALLERS} callers",
        operations.len()
    );
    assert!(syncs > EACH && syncs * 2 < operations.len(), "{syncs}");
}

#[test]
fn another_word_for_durability_is_refused_with_those_that_there_are() {
    let up = std::process::Command::new(BINARY)
        .args(["up", "--config", "nowhere", "--durability", "paper"])
        .output()
        .unwrap();
    let said = String::from_utf8(up.stderr).unwrap();
    assert_eq!(up.status.code(), Some(2), "{said}");
    for word in ["paper", "--durability", "memory", "disk"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}
