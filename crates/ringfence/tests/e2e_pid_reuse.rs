//! A process number that is given again: who has it now is not who had it. Neither a claim nor an instance passes to
//! a successor, were it started in the same clock tick.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{PYTHON, options};
use ringfence_compartment::address::{DOOR_PORT, DOOR_V4, DOOR_V6, MARK};
use ringfence_compartment::{link::LINK_VERSION, sockets};
use ringfence_testbed::{Caller, Node, Process};
use serde_json::{Value, json};

const HOSTILE: &str = include_str!("e2e_support/hostile.py");

/// Launchers that do as they are told. Each line on stdin is a command, a number of a child, and what it is to do.
const DRIVER: &str = r#"
children = {}

def child(end):
    for line in end:
        what, resume = json.loads(line)
        if what == "connect":
            node = connect()
            put(node, request("agent"))
            answer = {"sent": True}
        else:
            node, answer = claim("agent", resume=resume)
        print(json.dumps({"answer": answer}), flush=True)

for line in sys.stdin:
    what, pid, more = json.loads(line)
    if what == "fork":
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            child(os.fdopen(reader))
            os._exit(0)
        os.close(reader)
        children[pid] = writer
        print(json.dumps({"pid": pid}), flush=True)
    elif what == "kill":
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(children.pop(pid))
        print(json.dumps({"killed": pid}), flush=True)
    else:
        os.write(children[pid], json.dumps([what, more]).encode() + b"\n")
"#;

struct Driver {
    process: Process,
    answers: usize,
}

impl Driver {
    fn start(node: &Node) -> Self {
        let settings = json!({
            "directory": sockets::socket_dir(node.state()).unwrap(), "version": LINK_VERSION, "port": DOOR_PORT,
            "mark": MARK, "v4": DOOR_V4.to_string(), "v6": DOOR_V6.to_string(),
        });
        let (own, _) = HOSTILE.rsplit_once("\nprint(").unwrap();
        let program = format!("{own}\n{DRIVER}");
        let words = [PYTHON, "-c", &program, &settings.to_string()];
        Self {
            process: node.host().start(words).unwrap(),
            answers: 0,
        }
    }

    fn tell(&mut self, what: &str, pid: u32, more: &Value) -> Value {
        let line = format!("{}\n", json!([what, pid, more]));
        self.process.write(line.as_bytes()).unwrap();
        self.answers += 1;
        let end = std::time::Instant::now() + Duration::from_secs(40);
        loop {
            let said = self.process.stdout();
            let complete = said.split_inclusive('\n').nth(self.answers - 1);
            if let Some(line) = complete.filter(|line| line.ends_with('\n')) {
                return serde_json::from_str(line).unwrap();
            }
            let late = std::time::Instant::now() > end;
            assert!(!late, "{what}: {said}{}", self.process.stderr());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn fork(&mut self) -> u32 {
        let pid = self.tell("fork", 0, &Value::Null)["pid"].as_u64().unwrap();
        pid.try_into().unwrap()
    }

    /// Another process that has the number of one that ended. Threads of the node may get it first: then once more.
    fn successor(&mut self, node: &Node, pid: u32) {
        for _ in 0..100 {
            let before = (pid - 1).to_string();
            let set = "echo \"$0\" > /proc/sys/kernel/ns_last_pid";
            let set = node.host().run_as_root(["sh", "-c", set, &before]);
            set.unwrap().ok();
            let next = self.fork();
            if next == pid {
                return;
            }
            self.tell("kill", next, &Value::Null);
        }
        panic!("process number {pid} is not given again");
    }
}

fn started(node: &Node) -> usize {
    let flows = node.flows().unwrap();
    flows
        .iter()
        .filter(|flow| {
            flow.operation.contains("workload started") || flow.reason.contains("workload started")
        })
        .count()
}

#[test]
fn a_claim_is_never_that_of_a_later_process_with_the_number() {
    for caller in Caller::available() {
        let node = options().caller(caller).start().unwrap();
        let mut driver = Driver::start(&node);
        // The control: one that stays is granted what it asks, and that is on record.
        let first = driver.fork();
        let granted = driver.tell("claim", first, &Value::Null);
        assert_eq!(granted["answer"]["say"], "granted", "{granted}");
        driver.tell("kill", first, &Value::Null);
        node.await_that("the first launcher's end", |node| {
            let workloads = node.status()?.1["workloads"].clone();
            Ok(workloads
                .as_array()
                .is_some_and(Vec::is_empty)
                .then_some(()))
        })
        .unwrap();
        let before = started(&node);
        assert!(before > 0, "{caller:?}");

        let gone = driver.fork();
        node.host().signal("STOP", node.pid()).unwrap();
        driver.tell("connect", gone, &Value::Null);
        driver.tell("kill", gone, &Value::Null);
        driver.successor(&node, gone);
        node.host().signal("CONT", node.pid()).unwrap();
        // Connections are taken in their order: the one before has been taken as well when this one has its answer.
        let last = driver.fork();
        let granted = driver.tell("claim", last, &Value::Null);
        assert_eq!(granted["answer"]["say"], "granted", "{granted}");
        let status = node.status().unwrap().1;
        let workloads = status["workloads"].as_array().unwrap();
        assert_eq!(workloads.len(), 1, "{caller:?}: {status:#}");
        assert_eq!(workloads[0]["instance"], granted["answer"]["instance"]);
        assert_eq!(started(&node), before + 1, "{caller:?}");
    }
}

#[test]
fn an_instance_is_not_taken_over_by_a_later_process_with_the_number() {
    for caller in Caller::available() {
        for same_tick in [false, true] {
            let mut node = options().caller(caller).start().unwrap();
            let mut driver = Driver::start(&node);
            let pid = driver.fork();
            let granted = driver.tell("claim", pid, &Value::Null);
            let instance = granted["answer"]["instance"].clone();
            assert!(instance.is_string(), "{granted}");
            // The control: the process itself takes it up again.
            node.kill().unwrap();
            node.up().unwrap();
            let resumed = driver.tell("claim", pid, &instance);
            assert_eq!(resumed["answer"]["instance"], instance, "{resumed}");

            node.kill().unwrap();
            driver.tell("kill", pid, &Value::Null);
            driver.successor(&node, pid);
            if same_tick && !written_as_of_its_tick(&node, pid, &instance) {
                eprintln!("skipped: only the clock tick tells processes apart before Linux 6.9");
                continue;
            }
            node.up().unwrap();
            let status = node.status().unwrap().1;
            let left = status["workloads"].as_array().unwrap();
            assert!(left.is_empty(), "{caller:?} {same_tick}: {status:#}");
            let refused = driver.tell("claim", pid, &instance);
            let reason = refused["answer"]["reason"].as_str().unwrap_or_default();
            assert!(
                reason.contains("not yours to resume"),
                "{caller:?} {same_tick}: {refused}"
            );
        }
    }
}

/// Writes the tick in which process `pid` started into the table that the node left: two processes of one tick cannot be
/// made at will. `false`: the table has nothing but ticks.
fn written_as_of_its_tick(node: &Node, pid: u32, instance: &Value) -> bool {
    let stat = node
        .host()
        .run_as_root(["cat", &format!("/proc/{pid}/stat")]);
    let stat = stat.unwrap().ok().stdout;
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let tick: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
    let path = node.state().join("instances.json");
    let mut table: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let process = &mut table[instance.as_str().unwrap()]["process"];
    assert_eq!(process["pid"], pid, "{process}");
    process["started"] = tick.into();
    let numbered = process["serial"].is_u64();
    std::fs::write(&path, table.to_string()).unwrap();
    numbered
}
