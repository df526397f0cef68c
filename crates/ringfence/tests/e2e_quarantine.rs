//! A workload is taken out by hand: it is cut off both ways at once, stays so whatever restarts or is reloaded, and
//! comes back when it is released or its time is over. Its processes go on all the while.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{BINARY, PUPPET, PYTHON, Puppet, agent, cache, serve, web, workdir};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Node, NodeOptions, Output, Running};
use serde_json::{Value, json};

const SERVICES: &str = "\
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
kind: Service
metadata: { name: echo }
spec: { protocol: udp, port: 7007 }
";

/// What an agent may use: all services.
const EVERYTHING: &str = "
    - { service: web, operations: [\"GET /**\"] }
    - { service: cache, operations: [connect] }
    - { service: echo, operations: [send] }
";

const ECHO: &str = r#"
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 7007))
print("echo is serving", flush=True)
while True:
    data, who = sock.recvfrom(65535)
    sock.sendto(data, who)
"#;

fn options() -> NodeOptions {
    NodeOptions::new(BINARY)
        .file("services.yaml", SERVICES)
        .file("agent.yaml", &agent("agent", "", EVERYTHING))
        .file("other.yaml", &agent("other", "", EVERYTHING))
}

/// Three services, two agents, each with a connection and a flow of datagrams that it keeps.
struct Scene {
    // Ended in this order.
    agent: Puppet,
    other: Puppet,
    _services: [Running; 3],
    node: Node,
}

/// What a workload reaches: by HTTP, a new connection to an address it knows, the one it kept, a name, the flow it kept.
#[derive(Debug, PartialEq, Eq)]
struct Reach {
    http: bool,
    fresh: bool,
    kept: bool,
    name: bool,
    flow: bool,
}

const ALL: Reach = Reach {
    http: true,
    fresh: true,
    kept: true,
    name: true,
    flow: true,
};
const NOTHING: Reach = Reach {
    http: false,
    fresh: false,
    kept: false,
    name: false,
    flow: false,
};

fn puppet(node: &Node, name: &str) -> Puppet {
    let path = workdir(node, &format!("work-{name}"), "puppet.py", PUPPET);
    let launch = node.workload(name).workdir(&path).open_stdin();
    let mut running = launch.spawn(&[PYTHON, "-u", "puppet.py"]).unwrap();
    running.wait_until_it_says("ready").unwrap();
    Puppet::of(running)
}

/// Opens what it keeps.
fn settle(puppet: &mut Puppet) {
    let opened = puppet.tell(json!(["open_tcp", "kept", "cache", 6379]));
    assert_eq!(opened["open"], "kept", "{opened}");
    let opened = puppet.tell(json!(["open_udp", "flow", "echo", 7007]));
    assert_eq!(opened["open"], "flow", "{opened}");
    puppet.tell(json!(["remember", "address", "cache"]));
    assert_eq!(reach(puppet), ALL);
}

fn reach(puppet: &mut Puppet) -> Reach {
    Reach {
        http: puppet.tell(json!(["get", "GET", "/x"]))["status"] == 200,
        fresh: puppet.tell(json!(["tcp_to", "address", 6379]))["reached"] == 1,
        kept: puppet.tell(json!(["say", "kept", "hello"]))["heard"] == "hello",
        name: puppet.tell(json!(["resolves", "cache"]))["address"].is_string(),
        flow: puppet.tell(json!(["say_in_datagrams", "flow", "hello"]))["heard"] == "hello",
    }
}

fn reach_of_fresh(puppet: &mut Puppet) -> Reach {
    Reach {
        kept: true,
        flow: true,
        ..reach(puppet)
    }
}

impl Scene {
    fn new(options: NodeOptions) -> Self {
        let node = options.start().unwrap();
        let services = [web(&node), cache(&node), serve(&node, "echo", ECHO)];
        let (mut agent, mut other) = (puppet(&node, "agent"), puppet(&node, "other"));
        settle(&mut agent);
        settle(&mut other);
        Self {
            agent,
            other,
            _services: services,
            node,
        }
    }

    /// Answers of `quarantine`, which must exit with `code`.
    fn quarantine(&self, code: i32, words: &[&str]) -> Value {
        let mut all = vec!["-o", "json"];
        all.extend(words);
        answer(&self.node.verb("quarantine", &all).unwrap(), code)
    }

    fn release(&self, name: &str) -> Value {
        let words = ["-o", "json", name, "--reason", "false alarm"];
        answer(&self.node.verb("release", &words).unwrap(), 0)
    }

    fn events(&self, operation: &str) -> Vec<String> {
        let of = |r: &FlowRecord| r.kind == RecordKind::Event && r.operation == operation;
        let events = self.node.flows_where(0, of).unwrap();
        events.into_iter().map(|r| r.reason).collect()
    }

    fn quarantined(&self) -> Vec<String> {
        let (_, status) = self.node.status().unwrap();
        let list = status["quarantined"].as_array().unwrap();
        list.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Waits for something that takes a restart, on a machine that has others to serve.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !look() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn answer(output: &Output, code: i32) -> Value {
    assert_eq!(
        output.code,
        Some(code),
        "{}{}",
        output.stdout,
        output.stderr
    );
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn a_workload_is_cut_off_both_ways_at_once_and_its_neighbours_are_not() {
    let mut scene = Scene::new(options());
    let would = scene.quarantine(0, &["agent", "--reason", "odd", "--dry-run"]);
    assert_eq!(
        (&would["cut"]["connections"], &would["cut"]["flows"]),
        (&json!(1), &json!(1)),
        "{would}"
    );
    assert_eq!(reach(&mut scene.agent), ALL);
    assert_eq!(scene.quarantined(), [""; 0]);

    let done = scene.quarantine(0, &["agent", "--reason", "reads \u{1b}[2Jodd\nthings"]);
    assert_eq!(
        (&done["cut"]["connections"], &done["cut"]["flows"]),
        (&json!(1), &json!(1)),
        "{done}"
    );
    assert_eq!(
        (&done["left"], &done["recorded"], &done["unkept"]),
        (&json!(0), &json!(true), &Value::Null)
    );
    assert_eq!(done["instances"], 1);
    assert_eq!(done["now"]["reason"], "reads \u{fffd}[2Jodd things");
    // It runs, it answers, and it reaches nothing; what it had is gone. Its neighbour lost nothing.
    assert_eq!(reach(&mut scene.agent), NOTHING);
    assert_eq!(reach(&mut scene.other), ALL);
    assert_eq!(scene.quarantined(), ["agent"]);
    let events = scene.events("quarantine");
    let who = format!(
        "by {}",
        if rustix_uid() == 0 {
            "root (uid 0)"
        } else {
            ""
        }
    );
    assert!(
        events[0].contains("until it is released") && events[0].contains(&who),
        "{events:?}"
    );
    let closes = scene
        .node
        .flows_where(0, |r| {
            r.kind == RecordKind::Close && r.reason.contains("is quarantined since")
        })
        .unwrap();
    assert_eq!(closes.len(), 2, "{closes:?}");
    assert!(
        closes
            .iter()
            .all(|r| r.source == "agent" && r.outcome == Outcome::Deny)
    );
    assert_eq!(scene.node.status().unwrap().0, 0, "it is no fault");
    let asked = [
        "explain", "--from", "agent", "--to", "web", "--op", "GET /x",
    ];
    let mut words: Vec<&str> = asked.to_vec();
    let state = scene.node.state().display().to_string();
    words.extend(["--state", &state]);
    let explained = scene
        .node
        .host()
        .run([&[BINARY, "policy"], words.as_slice()].concat())
        .unwrap();
    assert_eq!(explained.code, Some(3), "{}", explained.stderr);
    for part in [
        "agent agent is in quarantine since",
        "policy alone says allow",
    ] {
        assert!(explained.stdout.contains(part), "{}", explained.stdout);
    }

    // Said again; and of a receiver, which nobody reaches any more.
    let again = scene.quarantine(0, &["agent", "--reason", "worse"]);
    assert_eq!(
        (&again["before"]["reason"], &again["now"]["reason"]),
        (&json!("reads \u{fffd}[2Jodd things"), &json!("worse"))
    );
    assert_eq!(again["before"]["since"], again["now"]["since"]);
    scene.quarantine(0, &["cache", "--reason", "odd too"]);
    let other = reach(&mut scene.other);
    assert_eq!(
        other,
        Reach {
            fresh: false,
            kept: false,
            name: false,
            ..ALL
        }
    );

    // Whoever starts now is walled in like the others, and told so.
    let late = scene
        .node
        .run(
            "agent",
            &["curl", "-sS", "--max-time", "20", "http://web:8080/"],
        )
        .unwrap();
    assert_ne!(late.code, Some(0), "{}", late.stdout);
    assert!(
        late.stderr.contains("agent agent is in quarantine"),
        "{}",
        late.stderr
    );
    assert!(!late.stderr.contains("worse"), "{}", late.stderr);

    scene.release("cache");
    assert!(reach(&mut scene.other).fresh);
    let released = scene.release("agent");
    assert_eq!(
        (&released["now"], &released["before"]["reason"]),
        (&Value::Null, &json!("worse"))
    );
    assert_eq!(reach_of_fresh(&mut scene.agent), ALL);
    settle(&mut scene.agent);
    let events = scene.events("release");
    assert!(
        events[1].contains("false alarm; it was quarantined since"),
        "{events:?}"
    );

    for (verb, name, words) in [
        ("release", "agent", "agent is not in quarantine"),
        ("quarantine", "agnet", "did you mean agent?"),
        ("release", "nobody", "no agent or service is called"),
    ] {
        let said = scene.node.verb(verb, &[name, "--reason", "x"]).unwrap();
        assert_eq!(said.code, Some(1), "{}", said.stdout);
        assert!(said.stderr.contains(words), "{}", said.stderr);
    }
}

#[test]
fn an_end_is_near_enough_or_refused() {
    let node = options().start().unwrap();
    for (ttl, code, words) in [
        ("367d", 1, "366 days at most"),
        ("0s", 2, "a second is the shortest"),
        ("soon", 2, "write a length of time"),
        ("366d", 0, ""),
    ] {
        let said = node
            .verb("quarantine", &["agent", "--reason", "x", "--ttl", ttl])
            .unwrap();
        assert_eq!(said.code, Some(code), "{ttl}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{}", said.stderr);
    }
}

#[test]
fn an_enforcer_that_does_not_confirm_a_quarantine_is_ended() {
    let mut scene = Scene::new(options());
    let enforcer = scene.node.enforcer().unwrap();
    scene.node.host().signal("STOP", enforcer).unwrap();
    let done = scene.quarantine(5, &["agent", "--reason", "odd"]);
    assert!(
        done["away"].as_str().unwrap().contains("does not answer"),
        "{done}"
    );
    assert_eq!(done["unkept"], Value::Null);
    scene.node.await_enforcer_after(enforcer).unwrap();
    assert_eq!(reach(&mut scene.agent), NOTHING);
    assert!(reach(&mut scene.other).http);
    let said = scene.node.messages();
    assert!(said.contains("has not confirmed a quarantine"), "{said}");
}

fn rustix_uid() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap())
}

#[test]
fn neither_a_crash_nor_a_restart_nor_a_reload_sets_it_free() {
    let mut scene = Scene::new(options());
    scene.quarantine(0, &["agent", "--reason", "odd"]);
    // The enforcer is killed: the next one has the list before it has a policy.
    let before = scene.node.kill_enforcer().unwrap();
    scene.node.await_enforcer_after(before).unwrap();
    assert_eq!(reach(&mut scene.agent), NOTHING);
    // The node is killed, and everything it knew with it.
    scene.node.kill().unwrap();
    scene.node.up().unwrap();
    until("the other agent is served", || {
        scene.other.tell(json!(["get", "GET", "/x"]))["status"] == 200
    });
    assert_eq!(reach(&mut scene.agent), NOTHING);
    // Policy that allows more.
    let more = agent("agent", "", EVERYTHING).replace("GET /**", "POST /items\", \"GET /**");
    scene.node.reload("agent.yaml", &more).unwrap();
    assert_eq!(reach(&mut scene.agent), NOTHING);
    // Policy that does not know it, and knows it again.
    scene.node.reload("agent.yaml", "# nobody\n").unwrap();
    assert_eq!(scene.quarantined(), ["agent"]);
    let stays = scene.events("quarantine stays");
    assert!(
        stays[0].contains("does not name it; it stays in quarantine"),
        "{stays:?}"
    );
    scene
        .node
        .reload("agent.yaml", &agent("agent", "", EVERYTHING))
        .unwrap();
    assert_eq!(reach(&mut scene.agent), NOTHING);
    // Policy that is rejected: a quarantine needs none.
    scene.node.write("agent.yaml", "kind: Nothing\n").unwrap();
    scene
        .node
        .await_that("the rejection", |node| {
            Ok((!node.status()?.1["policy"]["rejected"].is_null()).then_some(()))
        })
        .unwrap();
    scene.quarantine(0, &["other", "--reason", "odd"]);
    assert_eq!(reach(&mut scene.other), NOTHING);
    scene.release("other");
    scene
        .node
        .write("agent.yaml", &agent("agent", "", EVERYTHING))
        .unwrap();

    // A damaged list frees nobody: the node says what to do, and does not start.
    scene.node.stop().unwrap();
    let file = scene.node.state().join("quarantine.json");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let (mut process, _) = scene.node.start_up(&[]).unwrap();
    let refused = process.wait(Duration::from_secs(60)).unwrap();
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    let refused = refused.stderr;
    assert!(
        refused.contains("quarantine.json is damaged") && refused.contains("put it right"),
        "{refused}"
    );
    std::fs::write(&file, &whole).unwrap();
    scene.node.up().unwrap();
    assert_eq!(scene.quarantined(), ["agent"]);
    scene.release("agent");
    until("the release", || reach(&mut scene.agent).fresh);
}

#[test]
fn its_time_ends_it_also_while_the_node_is_down() {
    let mut scene = Scene::new(options());
    scene.quarantine(0, &["agent", "--reason", "a moment", "--ttl", "3s"]);
    assert!(!reach(&mut scene.agent).http);
    until("its end", || {
        scene.agent.tell(json!(["get", "GET", "/x"]))["status"] == 200
    });
    let ended = scene.events("quarantine ended");
    assert!(ended[0].starts_with("its time is over"), "{ended:?}");
    assert_eq!(scene.quarantined(), [""; 0]);
    for (ttl, freed) in [("4s", true), ("1h", false)] {
        scene.quarantine(0, &["agent", "--reason", "a moment", "--ttl", ttl]);
        scene.node.kill().unwrap();
        std::thread::sleep(Duration::from_secs(5));
        scene.node.up().unwrap();
        until("the node serves", || {
            scene.other.tell(json!(["get", "GET", "/x"]))["status"] == 200
        });
        if freed {
            until("its end", || {
                scene.agent.tell(json!(["get", "GET", "/x"]))["status"] == 200
            });
        } else {
            assert!(!reach(&mut scene.agent).http);
        }
    }
}

#[test]
fn it_is_cut_off_also_when_nothing_can_be_written_and_that_is_said() {
    let mut scene = Scene::new(options().state_size("6m"));
    // The small file system is the node's alone: it is filled, and looked at, from where the node is.
    let at = |name: &str| scene.node.state().join(name).display().to_string();
    let (filler, list) = (at("filler"), at("quarantine.json"));
    let fill = ["dd", "if=/dev/zero", &format!("of={filler}"), "bs=4k"];
    let filled = scene.node.host().run(fill).unwrap();
    assert!(filled.stderr.contains("No space left"), "{filled:?}");
    // What was set aside beforehand is used up first.
    scene.other.tell(json!(["until_refused", "/x", 40_000]));
    assert!(scene.node.status().unwrap().1["log"]["trouble"].is_string());
    let done = scene.quarantine(5, &["agent", "--reason", "odd"]);
    // What the log keeps for what has happened already may have room for the event; the list has none.
    assert_eq!(done["left"], 0, "{done}");
    assert!(done["unkept"].is_string(), "{done}");
    assert!(!reach(&mut scene.agent).kept);
    assert_eq!(scene.quarantined(), ["agent"]);
    let (code, status) = scene.node.status().unwrap();
    assert_eq!(code, 5);
    assert!(
        status["degraded"]
            .to_string()
            .contains("is not written down"),
        "{status}"
    );
    scene.node.host().run(["rm", &filler]).unwrap().ok();
    scene
        .node
        .await_that("it is written down", |node| {
            let kept = node.host().run(["cat", &list])?.stdout;
            Ok(kept.contains("odd").then_some(()))
        })
        .unwrap();
}
