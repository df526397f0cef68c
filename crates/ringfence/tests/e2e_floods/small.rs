//! Floods of small things: datagrams, queries, refused system calls, connections to the node's own sockets.

use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Neighbour, Vitals};

use crate::ground::{await_refusals, enforcer, node, number, ready, seconds, start, unnoticed};

/// A service that takes datagrams and says nothing.
const WELL: &str = r#"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 7000))
print("ready", flush=True)
while True: sock.recv(65536)
"#;

#[test]
fn datagrams_from_many_ports() {
    let node = node();
    let _well = ready(&node, "well", WELL);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = enforcer(&node);
    let program = r#"
socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(6000)]
to = at("well", 7000)
def work(i, n): socks[n % len(socks)].sendto(b"x" * 100, to)
go(2, work)
"#;
    unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", program);
        attacker.wait_until_it_says("ready").unwrap();
        seconds(4);
        attacker
    });
    let after = enforcer(&node);
    let more = after.descriptors.saturating_sub(before.descriptors);
    // `FLOWS_PER_COMPARTMENT`, of which one caller leaves as many as it takes, and pools of sockets.
    assert!(more < 2048 + 300, "{more} descriptors more");
}

#[test]
fn datagrams_of_one_flow_as_fast_as_they_can_be_sent() {
    let node = node();
    let _well = ready(&node, "well", WELL);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = enforcer(&node);
    let program = r#"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
to = at("well", 7000)
def work(i, n): sock.sendto(b"x" * 1000, to)
go(2, work)
"#;
    unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", program);
        attacker.wait_until_it_says("ready").unwrap();
        seconds(4);
        attacker
    });
    let grown = enforcer(&node).resident.saturating_sub(before.resident);
    assert!(grown < 16 << 20, "the enforcer has {grown} bytes more");
}

#[test]
fn queries_for_names_that_nobody_has() {
    let node = node();
    let neighbour = Neighbour::start(&node).unwrap();
    let program = r#"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(150000):
    name = b"%016d" % n
    sock.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\x10" + name + b"\0\0\1\0\1", ("198.18.0.2", 53))
print("sent", 150000, flush=True)
time.sleep(1000)
"#;
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", program);
        attacker.wait_until_it_says("sent").unwrap();
        attacker
    });
    let denied = |record: &FlowRecord| {
        record.outcome == Outcome::Deny
            && (record.protocol == "dns" || record.kind == RecordKind::Wall)
    };
    let records = await_refusals(&node, "attacker", number(&attacker, "sent"), denied);
    assert!(records < 8000, "{records} records");
}

#[test]
fn refused_system_calls_of_a_hundred_threads() {
    let node = node();
    let neighbour = Neighbour::start(&node).unwrap();
    let program = r#"
import ctypes
libc = ctypes.CDLL(None)
def work(i, n): libc.syscall(272, 0x10000000)
go(100, work)
"#;
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", program);
        attacker.wait_until_it_says("ready").unwrap();
        seconds(4);
        attacker
    });
    assert!(number(&attacker, "done") > 1000);
    let launcher = Vitals::of(node.host(), attacker.pid).unwrap();
    assert!(launcher.resident < 64 << 20, "{launcher:?}");
    assert!(launcher.descriptors < 100, "{launcher:?}");
}
