//! Datagrams between real programs: what each side sees, what the log says, and that nothing goes round.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{BINARY, PYTHON, serve, workdir};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Caller, Node, NodeOptions, Running};
use serde_json::{Value, json};

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: echo }
spec: { protocol: udp, port: 5000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: mirror }
spec: { protocol: udp, port: 5000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: vault }
spec: { protocol: udp, port: 5000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: outside }
spec:
  protocol: udp
  port: 7000
  endpoints: [{ address: "127.0.0.1:7001" }, { address: "127.0.0.1:7002" }, { address: "[::1]:7003" }]
  mutualAuth: { exempt: it speaks plain datagrams, until: 2099-01-01 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: sends datagrams }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: peer }
spec: { serves: { protocol: udp, port: 40000 } }
"#;

const POLICY: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  initiate:
    - { service: echo, operations: [send] }
    - { service: outside, operations: [send] }
    - { agent: peer, operations: [send] }
  tests:
    - { to: echo, allow: send }
    - { to: vault, deny: send }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: peer }
spec:
  agent: peer
  receive: [{ agent: agent, operations: [send] }]
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: echo }
spec: { service: echo, initiate: [{ service: mirror, operations: [send] }, { service: echo, operations: [send] }] }
"#;

/// Answers each datagram with itself; `count` and `last` are told to those who ask for them.
fn echo_at(family: &str, place: &str) -> String {
    format!(
        r#"
import socket
s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
if socket.{family} == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, {only})
s.bind(("{place}", 5000))
print("is serving", flush=True)
seen = 0
while True:
    data, who = s.recvfrom(70000)
    if data == b"count":
        s.sendto(str(seen).encode(), who)
        continue
    if data == b"burst":
        # UDP_SEGMENT: ten of 500 bytes and one of 3, by one call.
        s.setsockopt(17, 103, 500)
        s.sendto(b"b" * 5003, who)
        s.setsockopt(17, 103, 0)
        continue
    seen += 1
    s.sendto(who[0].encode() if data == b"who" else data, who)
"#,
        only = u8::from(place != "::"),
    )
}

/// An agent that takes one JSON command a line and answers each with one line.
const PUPPET: &str = r#"
import json, socket, sys, time

kept = {}

def sock(name, host, bind=None, connect=None):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    if bind: s.bind(tuple(bind))
    if connect: s.connect(tuple(connect))
    kept[name] = s
    return list(s.getsockname())[:2]

def resolve(name, v6):
    return socket.getaddrinfo(name, 5000, socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)[0][4][0]

def heard(s):
    try:
        data, who = s.recvfrom(70000)
        text = data.decode() if len(data) < 200 else f"{len(data)} of {data[:1].decode()}" if data == data[:1] * len(data) else "torn"
        return {"heard": text, "from": list(who)[:2]}
    except OSError as error:
        return {"error": type(error).__name__}

def ask(name, to, text, repeat=1, wait=10):
    s = kept[name]
    s.settimeout(wait)
    data = text.encode() * repeat
    if to: s.sendto(data, tuple(to))
    else: s.send(data)
    return heard(s)

def flood(name, to, times, size=100):
    sent = 0
    for _ in range(times):
        try: sent += bool(kept[name].sendto(b"f" * size, tuple(to)))
        except OSError: pass
    return {"sent": sent}

def storm(host, first, times):
    sent = 0
    for number in range(times):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try: sent += s.sendto(b"f", (host, first + number)) == 1
        except OSError: pass
        s.close()
        if number % 100 == 99: time.sleep(0.02)
    return {"sent": sent}

def drain(name, wait=1):
    kept[name].settimeout(wait)
    count = 0
    try:
        while True:
            kept[name].recv(70000)
            count += 1
    except OSError:
        return {"drained": count}

def segments(name, to, size, total):
    s = kept[name]
    s.setsockopt(17, 103, size)
    s.sendto(b"g" * total, tuple(to))
    s.setsockopt(17, 103, 0)
    s.settimeout(5)
    lengths = []
    try:
        while sum(lengths) < total: lengths.append(len(s.recv(70000)))
    except OSError: pass
    return {"lengths": lengths}

def many(host, port, times):
    answered = 0
    for _ in range(times):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10)
            s.sendto(b"once", (host, port))
            try: answered += s.recv(99) == b"once"
            except OSError: pass
    return {"answered": answered}

print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(globals()[name](*arguments)), flush=True)
"#;

struct Puppet {
    running: Running,
    answers: usize,
}

impl Puppet {
    fn start(node: &Node, name: &str) -> Self {
        let path = workdir(node, &format!("puppet-{name}"), "puppet.py", PUPPET);
        let launch = node.workload(name).workdir(&path).open_stdin();
        let mut running = launch.spawn(&[PYTHON, "-u", "puppet.py"]).unwrap();
        running.wait_until_it_says("ready").unwrap();
        Self {
            running,
            answers: 0,
        }
    }

    fn tell(&mut self, command: Value) -> Value {
        let line = format!("{command}\n");
        self.running.process.write(line.as_bytes()).unwrap();
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
            let running = self.running.process.is_running().unwrap();
            assert!(running, "{said}{}", self.running.process.stderr());
            assert!(
                std::time::Instant::now() < deadline,
                "no answer to {command}"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn address(&mut self, name: &str, v6: bool) -> String {
        let told = self.tell(json!(["resolve", name, v6]));
        told.as_str().unwrap().to_owned()
    }
}

fn options() -> NodeOptions {
    NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .file("policy.yaml", POLICY)
}

fn start() -> Node {
    options().start().unwrap()
}

fn echo(node: &Node) -> Running {
    serve(node, "echo", &echo_at("AF_INET", "0.0.0.0"))
}

/// Where others find `name`. Its own `/etc/hosts` says something else, and nobody else may have to know.
fn own_address(node: &Node, name: &str, v6: bool) -> String {
    let kind = if v6 { "AAAA" } else { "A" };
    let told = node.run(name, &["dig", "+short", name, kind]).unwrap().ok();
    told.stdout.trim().to_owned()
}

/// Records of flows to `name`, of a kind.
fn flows_to(node: &Node, name: &str, kind: RecordKind) -> Vec<FlowRecord> {
    node.flows_where(0, |r| {
        r.kind == kind && r.destination == name && r.protocol == "udp"
    })
    .unwrap()
}

#[test]
fn whoever_runs_the_node_datagrams_pass_both_ways() {
    for caller in Caller::available() {
        let node = options().caller(caller).start().unwrap();
        let _echo = echo(&node);
        let mut agent = Puppet::start(&node, "agent");
        for v6 in [false, true] {
            let ip = agent.address("echo", v6);
            agent.tell(json!(["sock", "a", ip]));
            let heard = agent.tell(json!(["ask", "a", [ip, 5000], "hello"]));
            assert_eq!(
                heard,
                json!({ "heard": "hello", "from": [ip, 5000] }),
                "{caller:?}"
            );
        }
        let status = node.status().unwrap().1;
        assert_eq!(status["degraded"], json!([]), "{status}");
    }
}

/// A name server that knows one thing; with it, that a port other than 53 is a service like any other.
const NAMES: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5000))
print("is serving", flush=True)
while True:
    query, who = s.recvfrom(4096)
    end = query.index(bytes(1), 12) + 5
    head = query[:2] + bytes.fromhex("84000001000100000000")
    s.sendto(head + query[12:end] + bytes.fromhex("c00c000100010000003c0004cb007107"), who)
"#;

#[test]
fn dig_and_a_shell_speak_to_services() {
    let node = start();
    let names = serve(&node, "echo", NAMES);
    let words = [
        "dig",
        "+notcp",
        "+tries=1",
        "-p",
        "5000",
        "@echo",
        "www.example.org",
        "A",
        "+short",
    ];
    let answer = node.run("agent", &words).unwrap().ok();
    assert_eq!(answer.stdout.trim(), "203.0.113.7");
    drop(names);
    let _echo = echo(&node);
    // Bash connects its socket.
    let script = "exec 3<>/dev/udp/echo/5000; printf hello >&3; head -c 5 <&3";
    let answer = node.run("agent", &["bash", "-c", script]).unwrap().ok();
    assert_eq!(answer.stdout, "hello");
}

#[test]
fn connected_and_unconnected_clients_hear_the_answer_from_where_they_sent_to() {
    let node = start();
    let _echo = serve(&node, "echo", &echo_at("AF_INET6", "::"));
    let mut agent = Puppet::start(&node, "agent");
    for v6 in [false, true] {
        let ip = agent.address("echo", v6);
        let to = json!([ip, 5000]);
        agent.tell(json!(["sock", "a", ip]));
        let heard = agent.tell(json!(["ask", "a", to, "hello"]));
        assert_eq!(heard, json!({ "heard": "hello", "from": to }));
        agent.tell(json!(["sock", "b", ip, null, to]));
        let heard = agent.tell(json!(["ask", "b", null, "again"]));
        assert_eq!(heard, json!({ "heard": "again", "from": to }));
        // The service sees who calls, not loopback.
        let who = agent.tell(json!(["ask", "b", null, "who"]));
        let own = own_address(&node, "agent", false);
        let seen = who["heard"].as_str().unwrap().trim_start_matches("::ffff:");
        assert_eq!(seen, own);
    }
    let opened = flows_to(&node, "echo", RecordKind::Connection);
    assert_eq!(opened.len(), 4, "{opened:#?}");
    for record in &opened {
        assert_eq!(
            (record.operation.as_str(), record.outcome),
            ("send", Outcome::Allow)
        );
        assert!(record.rule.starts_with("policy.yaml:"), "{record:?}");
        assert!(
            record.destination_instance.starts_with("echo-"),
            "{record:?}"
        );
    }
}

#[test]
fn every_kind_of_listener_is_found() {
    for (family, place) in [
        ("AF_INET", "127.0.0.1"),
        ("AF_INET", "0.0.0.0"),
        ("AF_INET", "OWN4"),
        ("AF_INET6", "::"),
        ("AF_INET6", "::1"),
        ("AF_INET6", "::0"),
        ("AF_INET6", "OWN6"),
    ] {
        let node = start();
        let mut agent = Puppet::start(&node, "agent");
        let (v4, v6) = (agent.address("echo", false), agent.address("echo", true));
        let place = place.replace("OWN4", &v4).replace("OWN6", &v6);
        let _echo = serve(&node, "echo", &echo_at(family, &place));
        for ip in [v4, v6] {
            agent.tell(json!(["sock", "a", ip]));
            let heard = agent.tell(json!(["ask", "a", [ip, 5000], "found"]));
            assert_eq!(heard["heard"], "found", "{place} {ip}");
        }
    }
}

#[test]
fn large_and_empty_datagrams_pass_whole_and_boundaries_are_kept() {
    let node = start();
    let _echo = serve(&node, "echo", &echo_at("AF_INET6", "::"));
    let mut agent = Puppet::start(&node, "agent");
    for v6 in [false, true] {
        let ip = agent.address("echo", v6);
        let to = json!([ip, 5000]);
        agent.tell(json!(["sock", "a", ip]));
        let heard = agent.tell(json!(["ask", "a", to, "L", 65_507]));
        assert_eq!(heard["heard"], "65507 of L", "{ip}");
        let heard = agent.tell(json!(["ask", "a", to, "", 0]));
        assert_eq!(heard["heard"], "", "{ip}");
        let heard = agent.tell(json!(["ask", "a", to, "burst"]));
        assert_eq!(heard["heard"], "500 of b", "{ip}");
        assert_eq!(agent.tell(json!(["drain", "a"]))["drained"], 10, "{ip}");
        let lengths = agent.tell(json!(["segments", "a", to, 1000, 20_007]));
        assert_eq!(
            lengths["lengths"],
            json!([vec![1000; 20], vec![7]].concat()),
            "{ip}"
        );
    }
}

#[test]
fn a_denied_peer_hears_nothing_and_a_flood_of_it_is_counted() {
    let node = start();
    let _vault = serve(&node, "vault", &echo_at("AF_INET", "0.0.0.0"));
    let mut agent = Puppet::start(&node, "agent");
    // Its name resolves for itself only; the address can be guessed.
    let vault = own_address(&node, "vault", false);
    agent.tell(json!(["sock", "a", vault]));
    let refused = agent.tell(json!(["ask", "a", [vault, 5000], "let me in", 1, 1]));
    assert_eq!(refused["error"], "TimeoutError");
    let sent = agent.tell(json!(["flood", "a", [vault, 5000], 2000]));
    let sent = sent["sent"].as_u64().unwrap() + 1;
    // Each one is refused by policy, or lost at a full door; both are counted, exactly.
    node.await_that("all of them on record", |node| {
        let denied = node.flows_where(0, |r| {
            r.outcome == Outcome::Deny
                && (r.destination == "vault" || r.operation == "lost at a full door")
        })?;
        let count: u64 = denied.iter().map(|r| r.count).sum();
        assert!(count <= sent, "{count} of {sent}");
        Ok((count == sent).then_some(()))
    })
    .unwrap();
    let denied = flows_to(&node, "vault", RecordKind::Connection);
    assert!(
        denied
            .iter()
            .all(|r| r.operation == "send" && r.outcome == Outcome::Deny)
    );
}

#[test]
fn datagrams_from_and_to_ever_new_ports_are_counted_in_few_records() {
    const MANY: u64 = 6000;
    let node = start();
    let _vault = serve(&node, "vault", &echo_at("AF_INET", "0.0.0.0"));
    let mut agent = Puppet::start(&node, "agent");
    let vault = own_address(&node, "vault", false);
    let began = now_ns();
    let sent = agent.tell(json!(["storm", vault, 10_000, MANY]));
    let ended = now_ns();
    let seconds = 2 + (ended - began) / 1_000_000_000;
    let sent = sent["sent"].as_u64().unwrap();
    assert_eq!(sent, MANY);
    let of_storm = |r: &FlowRecord| {
        r.outcome == Outcome::Deny
            && (r.destination == "vault" || r.operation == "lost at a full door")
    };
    // What the sender has counted.
    node.await_that("all of them on record", |node| {
        let denied = node.flows_where(0, of_storm)?;
        let count: u64 = denied.iter().map(|r| r.count).sum();
        assert!(count <= sent, "{count} of {sent}");
        Ok((count == sent).then_some(()))
    })
    .unwrap();
    let denied = node.flows_where(0, of_storm).unwrap();
    assert!(
        denied.len() as u64 <= 2 * 101 * seconds,
        "{} records in {seconds} s",
        denied.len()
    );
    let folded: Vec<_> = denied.iter().filter(|r| r.count > 1).collect();
    assert!(folded.iter().any(|r| r.destination == "vault"));
    for record in folded.iter().filter(|r| r.destination == "vault") {
        assert!(
            began <= record.time_ns
                && record.time_ns <= record.last_time_ns
                && record.last_time_ns <= ended + 1_000_000_000,
            "{record:?}"
        );
        assert!(record.original_destination.ends_with(":0"), "{record:?}");
    }
}

fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_nanos()).unwrap()
}

#[test]
fn a_spoofed_source_is_still_the_agent_and_hears_its_own_answer() {
    let node = start();
    let _echo = echo(&node);
    let mut agent = Puppet::start(&node, "agent");
    let ip = agent.address("echo", false);
    let own = own_address(&node, "agent", false);
    for source in [
        json!(["10.9.9.9", 53]),
        json!(["127.0.0.1", 0]),
        json!([ip, 5001]),
        json!([ip, 5000]),
        json!([own, 5000]),
    ] {
        agent.tell(json!(["sock", "a", ip, source]));
        let heard = agent.tell(json!(["ask", "a", [ip, 5000], "who"]));
        assert_eq!(heard["heard"], own.as_str(), "{source}");
    }
    // The door's own address is nobody's to send from.
    agent.tell(json!(["sock", "a", ip, ["198.18.0.1", 4000]]));
    let heard = agent.tell(json!(["ask", "a", [ip, 5000], "who", 1, 1]));
    assert_eq!(heard["error"], "TimeoutError");
    let flow = node
        .wait_for_flow(|r| r.reason.contains("the enforcer's own address"))
        .unwrap();
    assert_eq!(
        (flow.source.as_str(), flow.outcome),
        ("agent", Outcome::Deny)
    );
    let sources = flows_to(&node, "echo", RecordKind::Connection);
    assert!(sources.iter().all(|r| r.source == "agent"), "{sources:#?}");
}

#[test]
fn an_agent_takes_datagrams_only_from_those_its_policy_names() {
    let node = start();
    let program = echo_at("AF_INET", "0.0.0.0").replace("5000", "40000");
    let _peer = serve(&node, "peer", &program);
    let mut agent = Puppet::start(&node, "agent");
    let ip = agent.address("peer", false);
    agent.tell(json!(["sock", "a", ip]));
    let heard = agent.tell(json!(["ask", "a", [ip, 40000], "hello"]));
    assert_eq!(heard["heard"], "hello");
    let reserved = POLICY.replace(
        "receive: [{ agent: agent, operations: [send] }]",
        "receive: []",
    );
    node.reload("policy.yaml", &reserved).unwrap();
    let heard = agent.tell(json!(["ask", "a", [ip, 40000], "hello", 1, 1]));
    assert_eq!(heard["error"], "TimeoutError");
}

#[test]
fn a_reload_cuts_a_live_flow_at_once() {
    let node = start();
    let mut echo = Puppet::start(&node, "echo");
    let mut agent = Puppet::start(&node, "agent");
    let ip = agent.address("echo", false);
    echo.tell(json!(["sock", "s", "0.0.0.0", ["0.0.0.0", 5000]]));
    agent.tell(json!(["sock", "a", ip]));
    assert_eq!(agent.tell(json!(["flood", "a", [ip, 5000], 1]))["sent"], 1);
    assert_eq!(echo.tell(json!(["drain", "s", 5]))["drained"], 1);
    let without = POLICY
        .replace("    - { service: echo, operations: [send] }\n", "")
        .replace("    - { to: echo, allow: send }\n", "");
    node.reload("policy.yaml", &without).unwrap();
    agent.tell(json!(["flood", "a", [ip, 5000], 50]));
    assert_eq!(echo.tell(json!(["drain", "s", 1]))["drained"], 0);
    let close = node
        .wait_for_flow(|r| r.kind == RecordKind::Close && r.destination == "echo")
        .unwrap();
    assert_eq!((close.outcome, close.bytes_sent), (Outcome::Deny, 100));
    assert!(
        close.reason.starts_with("revoked by generation"),
        "{close:?}"
    );
}

/// A program outside any compartment, on the host of the node: echoes, with a word of its own before.
fn outside(node: &Node, family: &str, place: &str, port: u16) -> ringfence_testbed::Process {
    let program = format!(
        "import socket\ns = socket.socket(socket.{family}, socket.SOCK_DGRAM)\ns.bind(('{place}', {port}))\n\
         print('on', flush=True)\nwhile True:\n d, w = s.recvfrom(70000)\n s.sendto(b'{port} ' + d, w)"
    );
    let process = node.host().start([PYTHON, "-c", &program]).unwrap();
    process.wait_stdout("on", Duration::from_secs(10)).unwrap();
    process
}

#[test]
fn an_endpoint_outside_is_reached_and_the_next_one_when_the_first_refuses() {
    let node = start();
    let third = outside(&node, "AF_INET6", "::1", 7003);
    let mut agent = Puppet::start(&node, "agent");
    let ip = agent.address("outside", false);
    let mut ask = |name: &str, expected: &str| {
        agent.tell(json!(["sock", name, ip]));
        let heard = agent.tell(json!(["ask", name, [ip, 7000], "x"]));
        assert_eq!(heard, json!({ "heard": expected, "from": [ip, 7000] }));
    };
    ask("a", "7003 x");
    let _second = outside(&node, "AF_INET", "127.0.0.1", 7002);
    ask("b", "7002 x");
    drop(third);
    ask("a", "7002 x");
    let opened = flows_to(&node, "outside", RecordKind::Connection);
    assert!(
        opened.iter().all(|r| r.outcome == Outcome::Allow),
        "{opened:#?}"
    );
}

#[test]
fn many_short_questions_are_answered_whoever_asks_from_a_fresh_port() {
    let node = start();
    let _echo = echo(&node);
    let mut agent = Puppet::start(&node, "agent");
    let ip = agent.address("echo", false);
    let answered = agent.tell(json!(["many", ip, 5000, 300]));
    assert_eq!(answered["answered"], 300);
    let opened = flows_to(&node, "echo", RecordKind::Connection);
    // A port that is drawn a second time belongs to the flow that lives.
    assert!((280..=300).contains(&opened.len()), "{}", opened.len());
    assert!(opened.iter().all(|r| r.outcome == Outcome::Allow));
}

#[test]
fn the_end_of_the_service_and_of_the_client_close_the_flow() {
    let node = start();
    let service = echo(&node);
    let mut agent = Puppet::start(&node, "agent");
    let ip = agent.address("echo", false);
    agent.tell(json!(["sock", "a", ip]));
    agent.tell(json!(["ask", "a", [ip, 5000], "x"]));
    drop(service);
    let close = node
        .wait_for_flow(|r| r.kind == RecordKind::Close && r.destination == "echo")
        .unwrap();
    assert_eq!(
        (close.bytes_sent, close.bytes_received),
        (1, 1),
        "{close:?}"
    );
    assert!(close.reason.contains("its launcher has gone"), "{close:?}");
    // Nobody is there: silence, and an error on record.
    let heard = agent.tell(json!(["ask", "a", [ip, 5000], "x", 1, 1]));
    assert_eq!(heard["error"], "TimeoutError");
    let flow = node
        .wait_for_flow(|r| r.kind == RecordKind::Connection && r.outcome == Outcome::Error)
        .unwrap();
    assert!(flow.reason.contains("no instance of echo"), "{flow:?}");

    let _service = echo(&node);
    let heard = agent.tell(json!(["ask", "a", [ip, 5000], "back"]));
    assert_eq!(heard["heard"], "back");
    drop(agent);
    node.await_that("the client's end on record", |node| {
        let closes = flows_to(node, "echo", RecordKind::Close);
        Ok((closes.len() == 2).then_some(()))
    })
    .unwrap();
}

#[test]
fn nothing_is_sent_again_after_the_enforcer_was_killed() {
    let node = start();
    let mut echo = Puppet::start(&node, "echo");
    let mut agent = Puppet::start(&node, "agent");
    let ip = agent.address("echo", false);
    echo.tell(json!(["sock", "s", "0.0.0.0", ["0.0.0.0", 5000]]));
    agent.tell(json!(["sock", "a", ip]));
    agent.tell(json!(["flood", "a", [ip, 5000], 5]));
    assert_eq!(echo.tell(json!(["drain", "s", 5]))["drained"], 5);
    let before = node.enforcer().unwrap();
    // Nobody starts the next one before all is sent.
    let signal = |name: &str| node.host().signal(name, node.pid()).unwrap();
    signal("STOP");
    node.host().signal("KILL", before).unwrap();
    agent.tell(json!(["flood", "a", [ip, 5000], 20]));
    signal("CONT");
    node.await_enforcer_after(before).unwrap();
    let (mut sent, mut drained) = (20, 0);
    while drained == 0 && sent < 120 {
        agent.tell(json!(["flood", "a", [ip, 5000], 1]));
        sent += 1;
        drained = echo.tell(json!(["drain", "s", 0.3]))["drained"]
            .as_u64()
            .unwrap();
    }
    drained += echo.tell(json!(["drain", "s", 1]))["drained"]
        .as_u64()
        .unwrap();
    assert!(drained > 0);
    // What was sent while it was away is recorded and gone. Later ones arrived or were turned away; none came twice.
    let away = node
        .flows_where(0, |r| r.reason == "enforcer away" && r.protocol == "udp")
        .unwrap();
    let turned_away: u64 = away.iter().map(|r| r.count).sum();
    assert!(drained + turned_away <= sent, "{drained} {sent} {away:#?}");
    assert!(drained <= sent - 20, "{drained} of {sent}");
}

/// How many datagrams were read from the sockets of a compartment, the doors' among them, as its own counters tell.
const COUNTERS: &str = r#"
import time
def read():
    udp = [line.split() for line in open("/proc/net/snmp") if line.startswith("Udp:")]
    v6 = dict(line.split() for line in open("/proc/net/snmp6"))
    return int(dict(zip(*udp))["InDatagrams"]) + int(v6["Udp6InDatagrams"])
"#;

#[test]
fn nothing_goes_round_counted_from_within() {
    let node = start();
    let _mirror = serve(&node, "mirror", &echo_at("AF_INET", "0.0.0.0"));
    let (own4, own6) = (
        own_address(&node, "echo", false),
        own_address(&node, "echo", true),
    );
    // It sends to each place that could send back by itself, and tells what moved afterwards, and whether it goes on.
    let program = format!(
        r#"{COUNTERS}
import socket, json
own4, own6 = "{own4}", "{own6}"
mirror = socket.getaddrinfo("mirror", 5000, socket.AF_INET, socket.SOCK_DGRAM)[0][4][0]
told = {{}}
def attempt(name, family, bind, to):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind(bind)
    before = read()
    s.sendto(b"x", to)
    time.sleep(0.7)
    middle = read()
    time.sleep(0.7)
    after = read()
    s.setblocking(False)
    try:
        while True: s.recv(9)
    except OSError: pass
    told[name] = [middle - before, after - middle, read() - after]
    s.close()
v4, v6 = socket.AF_INET, socket.AF_INET6
attempt("mirror", v4, ("0.0.0.0", 5000), (mirror, 5000))
attempt("mirror from its own address", v4, (own4, 5000), (mirror, 5000))
attempt("mirror as the mirror", v4, (mirror, 5000), (mirror, 5000))
attempt("itself", v4, ("0.0.0.0", 5000), (own4, 5000))
attempt("itself from itself", v4, (own4, 5001), (own4, 5000))
attempt("itself v6", v6, ("::", 5000), (own6, 5000))
attempt("door", v4, ("0.0.0.0", 0), ("198.18.0.1", 15001))
attempt("door dns", v4, ("0.0.0.0", 53), ("198.18.0.1", 53))
attempt("door v6", v6, ("::", 0), ("2001:2::1", 15001))
attempt("dns to dns", v4, ("10.9.9.9", 53), ("1.2.3.4", 53))
attempt("nowhere", v4, ("0.0.0.0", 0), ("8.8.8.8", 9))
print(json.dumps(told), flush=True)
"#
    );
    let path = workdir(&node, "loops", "loops.py", &program);
    let launch = node.workload("echo").workdir(&path);
    let output = launch.run(&[PYTHON, "-u", "loops.py"]).unwrap().ok();
    let told: Value = serde_json::from_str(output.stdout.trim()).unwrap();
    for (name, counts) in told.as_object().unwrap() {
        let (moved, later) = (counts[0].as_u64().unwrap(), counts[1].as_u64().unwrap());
        // One to the door; nothing after that. What has come back, or in, is counted when it is read: last.
        assert!(moved <= 1, "{name}: {moved} datagrams from one: {told}");
        assert_eq!(later, 0, "{name}: still going: {told}");
    }
    for (name, back) in [
        ("mirror", 1),
        ("mirror as the mirror", 1),
        ("itself", 1),
        ("nowhere", 0),
    ] {
        assert_eq!(told[name], json!([1, 0, back]), "{name}: {told}");
    }
}

#[test]
fn two_services_that_echo_each_other_move_what_they_send_and_no_more() {
    let node = start();
    // Each answers a hundred times and stops; started by one datagram.
    let bounded = |start: &str| {
        format!(
            "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('0.0.0.0', 5000))\n\
             print('is serving', flush=True)\n{start}\nsent = 0\ngot = 0\ns.settimeout(3)\n\
             try:\n  while True:\n    d, w = s.recvfrom(100)\n    got += 1\n    if sent < 100:\n      sent += 1\n      s.sendto(d, w)\n\
             except OSError: pass\nprint('heard', got, 'sent', sent, flush=True)"
        )
    };
    let mut mirror = serve(&node, "mirror", &bounded(""));
    let begin = "s.sendto(b'x', (socket.gethostbyname('mirror'), 5000))";
    let mut echo = serve(&node, "echo", &bounded(begin));
    let (echo, mirror) = (echo.wait().unwrap().ok(), mirror.wait().unwrap().ok());
    assert!(echo.stdout.contains("heard 100 sent 100"), "{echo:?}");
    assert!(mirror.stdout.contains("heard 101 sent 100"), "{mirror:?}");
    let opened = flows_to(&node, "mirror", RecordKind::Connection);
    assert_eq!(opened.len(), 1, "{opened:#?}");
}

#[test]
fn a_flood_costs_the_one_who_floods() {
    let node = start();
    let _echo = echo(&node);
    let mut agent = Puppet::start(&node, "agent");
    let ip = agent.address("echo", false);
    agent.tell(json!(["sock", "a", ip]));
    assert_eq!(
        agent.tell(json!(["ask", "a", [ip, 5000], "x"]))["heard"],
        "x"
    );
    // Another copy of the agent floods the same service, and an address that is nobody's.
    let program = format!(
        "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nprint('flooding', flush=True)\n\
         end = time.time() + 8\nwhile time.time() < end:\n  for to in (('{ip}', 5000), ('8.8.8.8', 9)):\n    s.sendto(b'f' * 500, to)"
    );
    let mut flood = node
        .workload("agent")
        .spawn(&[PYTHON, "-c", &program])
        .unwrap();
    flood.wait_until_it_says("flooding").unwrap();
    let mut answered = 0;
    for _ in 0..50 {
        let heard = agent.tell(json!(["ask", "a", [ip, 5000], "x", 1, 2]));
        answered += u32::from(heard["heard"] == "x");
    }
    // The service itself, and the machine, are shared; the doors are not.
    assert!(answered >= 40, "{answered} of 50");
}
