//! The doors of a compartment belong to the enforcer: nobody takes one, nobody borrows an identity at one, and what a
//! workload says to itself ends, whoever is dead meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{BINARY, POLICY, PYTHON, SERVICES, cache, serve};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Caller, Node, NodeOptions, Running};

/// A service for datagrams, beside those of the other tests.
const SINK: &str = "---\napiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: { name: sink }\n\
                    spec: { protocol: udp, port: 5353 }\n";

/// Python that finds the virtual address it runs at.
const OWN: &str = "import re,socket\nown=re.findall(r'100[.]64[.][0-9.]+',open('/proc/net/fib_trie').read())[-1]\n";

/// It says whom it hears, and answers.
const HEARS: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
print("sink is serving", flush=True)
while True:
    data, sender = s.recvfrom(65536)
    print("heard", sender[0], flush=True)
    s.sendto(data, sender)
"#;

fn start(caller: Caller) -> Node {
    let policy = POLICY.replace(
        "    - service: cache\n",
        "    - service: sink\n      operations: [send]\n    - service: cache\n",
    );
    NodeOptions::new(BINARY)
        .caller(caller)
        .file("services.yaml", SERVICES)
        .file("sink.yaml", SINK)
        .file("policy.yaml", &policy)
        .start()
        .unwrap()
}

/// Runs a Python program as the agent, to its end.
fn run(node: &Node, script: &str) -> String {
    node.run("agent", &[PYTHON, "-c", script])
        .unwrap()
        .ok()
        .stdout
}

/// A Python agent that waits for a line before it goes on, each time it says `turn`.
fn spawn(node: &Node, script: &str) -> Running {
    let launch = node.workload("agent").open_stdin();
    launch.spawn(&[PYTHON, "-u", "-c", script]).unwrap()
}

#[test]
fn an_address_of_somebody_else_does_not_make_the_caller_somebody_else() {
    for caller in Caller::available() {
        let node = start(caller);
        let (cache, sink) = (cache(&node), serve(&node, "sink", HEARS));
        // From the sink's address to the cache, from the cache's to the sink, and by a control message as well.
        let said = run(
            &node,
            &format!(
                "{OWN}import struct\n\
             cache,sink=(socket.gethostbyname(name) for name in ('cache','sink'))\n\
             s=socket.socket()\ns.bind((sink,0))\ns.settimeout(20)\ns.connect((cache,6379))\ns.sendall(b'tcp ')\nprint(s.recv(9).decode(),end='')\n\
             u=socket.socket(2,2)\nu.bind((cache,6379))\nu.settimeout(20)\nu.sendto(b'udp ',(sink,5353))\nprint(u.recv(9).decode(),end='')\n\
             m=socket.socket(2,2)\nm.settimeout(20)\nm.sendmsg([b'message'],[(0,8,struct.pack('I4s4s',0,socket.inet_aton(cache),bytes(4)))],0,(sink,5353))\n\
             try: m.settimeout(1); m.recv(9)\nexcept OSError: pass\n\
             print(own)"
            ),
        );
        let own = said.trim().rsplit(' ').next().unwrap();
        assert!(said.starts_with("tcp udp 100.64."), "{said}");
        let deadline = Instant::now() + Duration::from_secs(10);
        while sink.process.stdout().matches("heard").count() < 2 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let heard = [cache.process.stdout(), sink.process.stdout()].concat();
        let callers: Vec<&str> = heard
            .lines()
            .filter_map(|line| {
                line.strip_prefix("connected ")
                    .or_else(|| line.strip_prefix("heard "))
            })
            .collect();
        assert!(callers.len() >= 3, "{heard}");
        assert!(
            callers.iter().all(|caller| *caller == own),
            "{own}: {heard}"
        );
    }
}

/// Tries to take every door in every way; prints what it got.
const STEAL: &str = r#"
import itertools, socket, sys
got = []
places = [(2, "0.0.0.0"), (2, "198.18.0.1"), (10, "::"), (10, "2001:2::1"), (10, "::ffff:198.18.0.1")]
for (family, place), kind, flags in itertools.product(places, (1, 2), ((), (2,), (15,), (2, 15))):
    s = socket.socket(family, kind)
    try:
        if family == 10: s.setsockopt(41, 26, 0)
        for flag in flags: s.setsockopt(1, flag, 1)
        s.bind((place, 15001))
        if kind == 1: s.listen()
        got.append((place, kind, flags))
    except OSError: pass
    s.close()
print("got", got, flush=True)
"#;

#[test]
fn doors_are_not_for_the_taking_while_the_enforcer_is_dead() {
    for caller in Caller::available() {
        let node = start(caller);
        let cache = cache(&node);
        let script = format!(
            "import socket\ncache=socket.gethostbyname('cache')\ndef reach():\n  try:\n    s=socket.create_connection((cache,6379),timeout=5)\n\
             \x20   s.sendall(b'pay')\n    return s.recv(9)\n  except OSError as e: return type(e).__name__\n\
             u=socket.socket(2,2)\nu.settimeout(0.5)\n\
             print('reached',reach(),flush=True)\ninput()\n{STEAL}\nprint('away',reach(),flush=True)\nu.sendto(b'pay',(cache,6379))\n\
             print('turn',flush=True)\ninput()\nprint('back',reach(),flush=True)\n"
        );
        let mut agent = spawn(&node, &script);
        agent.wait_until_it_says("reached b'pay'").unwrap();
        // The node cannot start another one meanwhile.
        let seq = node.head().unwrap();
        let before = node.enforcer().unwrap();
        node.host().signal("STOP", node.pid()).unwrap();
        node.host().signal("KILL", before).unwrap();
        agent.process.write(b"\n").unwrap();
        let turn = agent.wait_until_it_says("turn");
        let heard = cache.process.stdout();
        node.host().signal("CONT", node.pid()).unwrap();
        turn.unwrap();
        assert_eq!(heard.matches("connected").count(), 1, "{heard}");
        node.await_enforcer_after(before).unwrap();
        agent.process.write(b"\n").unwrap();
        agent.wait_until_it_says("back b'pay'").unwrap();
        let said = agent.process.stdout();
        assert!(said.contains("got []"), "{said}");
        assert!(said.contains("away ConnectionResetError"), "{said}");
        // Told, and not served later.
        let away = node
            .flows_where(seq, |r| {
                r.source == "agent" && r.reason.contains("enforcer away")
            })
            .unwrap();
        for protocol in ["tcp", "udp"] {
            assert!(
                away.iter()
                    .any(|r| r.protocol == protocol && r.outcome == Outcome::Deny),
                "{protocol}: {away:?}"
            );
        }
        let heard = cache.process.stdout();
        assert_eq!(heard.matches("connected").count(), 2, "{heard}");
    }
}

#[test]
fn what_a_workload_says_to_itself_ends() {
    let node = start(Caller::own());
    let sink = serve(&node, "sink", HEARS);
    // Each pair of ends that could answer one another: the own address, the doors', the resolver's, the sink's.
    let script = format!(
        "{OWN}sink=socket.gethostbyname('sink')\n\
        query=b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\x04sink\\0\\0\\x01\\0\\x01'\nkept=[]\n\
        for source in (own,sink,'198.18.0.1','198.18.0.53','8.8.8.8','127.0.0.1'):\n\
        \x20 for port in (53,5353,9):\n\
        \x20   s=socket.socket(2,2)\n    s.bind((source,port))\n    kept.append(s)\n\
        \x20   for to in (own,sink,'198.18.0.1','198.18.0.53','8.8.8.8'):\n\
        \x20     for where in (53,5353,9,15001): s.sendto(query,(to,where))\n\
        print('turn',flush=True)\ninput()\n\
        def count():\n  row=open('/proc/net/snmp').read().split('Udp: ')[2].split()\n  return int(row[0])+int(row[1])+int(row[3])\n\
        print('count',count(),flush=True)\ninput()\nprint('again',count(),flush=True)\n"
    );
    let mut agent = spawn(&node, &script);
    agent.wait_until_it_says("turn").unwrap();
    let count = |agent: &Running, word: &str| -> Option<u64> {
        let said = agent.process.stdout();
        let line = said.lines().find_map(|line| line.strip_prefix(word))?;
        line.trim().parse().ok()
    };
    // Answers and refusals of the first round arrive; then the compartment is silent.
    std::thread::sleep(Duration::from_secs(1));
    agent.process.write(b"\n").unwrap();
    agent.wait_until_it_says("count").unwrap();
    let spent = processor_time(&node);
    std::thread::sleep(Duration::from_secs(1));
    let spent = processor_time(&node) - spent;
    agent.process.write(b"\n").unwrap();
    agent.wait_until_it_says("again").unwrap();
    let (first, second) = (count(&agent, "count"), count(&agent, "again"));
    assert!(first.is_some_and(|count| count > 300), "{first:?}");
    assert_eq!(
        first,
        second,
        "datagrams go round: {}",
        sink.process.stdout()
    );
    // Hundredths of a second, within one.
    assert!(spent < 10, "the enforcer worked for {spent} ticks of 100");
}

/// What the enforcer has used, in ticks.
fn processor_time(node: &Node) -> u64 {
    let stat = format!("/proc/{}/stat", node.enforcer().unwrap());
    let said = node.host().run_as_root(["cat", &stat]).unwrap().ok().stdout;
    let fields = said.rsplit(')').next().unwrap().split_whitespace();
    fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum()
}

#[test]
fn the_own_name_and_address_lead_through_a_door_as_anybody_elses() {
    let node = start(Caller::own());
    let said = run(
        &node,
        &format!(
            "{OWN}l=socket.create_server(('0.0.0.0',6379))\n\
         try: print(socket.create_connection((own,6379),timeout=5).recv(9))\nexcept OSError as e: print(type(e).__name__)\n\
         l.settimeout(0.2)\ntry: print(l.accept())\nexcept OSError as e: print(type(e).__name__)"
        ),
    );
    assert_eq!(said, "ConnectionResetError\nTimeoutError\n");
    node.wait_for_flow(|r| {
        r.kind == RecordKind::Connection && r.outcome == Outcome::Deny && r.destination == "agent"
    })
    .unwrap();
}

/// Somebody flushed the rules, deleted the routes, took the device down: nobody is let out by it.
#[test]
fn without_rules_routes_or_device_nothing_is_reached_either() {
    for caller in Caller::available() {
        let node = start(caller);
        let _cache = cache(&node);
        let host = node.host();
        // Something to be reached, on the host's loopback and on an address of its own.
        let canary = "import socket,threading\ns=socket.create_server(('::',7007),family=10,dualstack_ipv6=True)\n\
            print('canary stands',flush=True)\nwhile True:\n  c,a=s.accept()\n  print('touched by',a,flush=True)\n  c.close()";
        let set = host
            .run_as_root(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"])
            .unwrap();
        assert_eq!(set.code, Some(0), "{set:?}");
        let canary = host.start([PYTHON, "-u", "-c", canary]).unwrap();
        canary
            .wait_stdout("canary stands", Duration::from_secs(20))
            .unwrap();
        let script = "import socket\ncache=socket.gethostbyname('cache')\n\
            def tries():\n  out=[]\n  for to in (('127.0.0.1',7007),('192.0.2.1',7007),(cache,6379)):\n\
            \x20   try: socket.create_connection(to,timeout=0.3).close(); out.append('open')\n\
            \x20   except OSError as e: out.append(type(e).__name__)\n  return out\n\
            while True:\n  print('tried',tries(),flush=True)\n  print('turn',flush=True)\n  input()\n";
        let mut agent = spawn(&node, script);
        let mut turn = 0;
        let mut hear = |agent: &mut Running| {
            turn += 1;
            let deadline = Instant::now() + Duration::from_secs(20);
            while agent.process.stdout().matches("turn").count() < turn {
                assert!(Instant::now() < deadline, "{}", agent.process.stderr());
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        hear(&mut agent);
        let pid = workload(&node);
        for command in [
            "nft flush ruleset",
            "ip route flush table local; ip -6 route flush table local",
            "ip address flush dev lo",
            "ip link set lo down",
            "ip link set lo up; ip route add local default dev lo",
        ] {
            let within = ["nsenter", "-t", &pid, "--net", "sh", "-c", command];
            // Some of it may find nothing left to flush.
            let done = host.run_as_root(within).unwrap();
            assert!(
                !done.stderr.contains("not permitted"),
                "{command}: {done:?}"
            );
            agent.process.write(b"\n").unwrap();
            hear(&mut agent);
        }
        // What was done was done: the rules are gone, so is the way to the service.
        let rules = host
            .run_as_root(["nsenter", "-t", &pid, "--net", "nft", "list", "ruleset"])
            .unwrap()
            .ok();
        assert_eq!(rules.stdout, "");
        let said = agent.process.stdout();
        let tried: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("tried"))
            .collect();
        assert!(
            tried
                .first()
                .is_some_and(|first| first.ends_with("'open']")),
            "{said}"
        );
        assert!(
            tried[1..].iter().all(|later| !later.contains("open")),
            "{said}"
        );
        let felt = canary.stdout();
        assert!(!felt.contains("touched"), "{felt}\n{said}");
        // The same from outside is felt.
        let outside = "import socket; socket.create_connection(('192.0.2.1',7007),timeout=5)";
        host.run([PYTHON, "-c", outside]).unwrap().ok();
        canary
            .wait_stdout("touched", Duration::from_secs(10))
            .unwrap();
    }
}

/// Process id of the agent's Python, in the host's numbers: the last of its launcher's line.
fn workload(node: &Node) -> String {
    let all = node.host().processes().unwrap();
    let own = all
        .iter()
        .filter(|(_, words)| words.starts_with(PYTHON) && words.contains("def tries()"));
    own.map(|(pid, _)| *pid).max().unwrap().to_string()
}
