//! Floods of refusals, each different from all others: the log is everybody's, and stays so. Every one is counted.

use std::time::{Duration, Instant};

use ringfence_model::{FlowRecord, Outcome, RecordKind, UNITEMISED};
use ringfence_testbed::Neighbour;

use crate::ground::{MILL, await_refusals, node, number, ready, start, unnoticed};

/// `DENIALS_AT_ONCE`, and what `DENIALS_PER_SECOND` and sums of windows allow in `time`.
fn bound(time: Duration) -> usize {
    1000 + (time.as_secs() as usize + 2) * (200 + 20)
}

/// Runs `program`, which says how much it `sent`, and checks that as many denials are on record, in few records, some of
/// which are sums of what could not be itemised.
fn counted(program: &str, pick: impl Fn(&FlowRecord) -> bool) {
    let node = node();
    let _mill = ready(&node, "mill", MILL);
    let neighbour = Neighbour::start(&node).unwrap();
    let began = Instant::now();
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", program);
        attacker.wait_until_it_says("sent").unwrap();
        attacker
    });
    let sent = number(&attacker, "sent");
    let denied = |record: &FlowRecord| record.outcome == Outcome::Deny && pick(record);
    let records = await_refusals(&node, "attacker", sent, denied);
    let bound = bound(began.elapsed());
    assert!(
        records <= bound,
        "{records} records, at most {bound} expected"
    );
    let sums = node
        .flows_where(0, |record| denied(record) && record.operation == UNITEMISED)
        .unwrap();
    assert!(
        !sums.is_empty(),
        "nothing was folded: the flood was too small"
    );
    assert!(sums.iter().all(|sum| sum.reason.contains("the first was")
        || sum.reason.contains("more different attempts")));
}

#[test]
fn connections_to_different_addresses() {
    counted(
        r#"
def work(i):
    for n in range(i, 20000, 4):
        try: socket.create_connection((f"10.1.{n >> 8}.{n & 255}", 443), timeout=20).close()
        except OSError: pass
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("sent", 20000, flush=True)
time.sleep(1000)
"#,
        |record| record.kind == RecordKind::Connection,
    );
}

#[test]
fn datagrams_to_different_addresses() {
    // Those that find the door full are counted by the kernel, and told by the launcher.
    counted(
        r#"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(200000):
    sock.sendto(b"x", (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 443))
print("sent", 200000, flush=True)
time.sleep(1000)
"#,
        |record| record.protocol == "udp" || record.kind == RecordKind::Wall,
    );
}

#[test]
fn requests_for_different_long_paths() {
    counted(
        r#"
def work(i):
    sock = socket.create_connection(at("mill", 8080))
    reader = sock.makefile("rb")
    def drain():
        for line in reader:
            done[i] += line.count(b"HTTP/1.1 403")
    threading.Thread(target=drain, daemon=True).start()
    for n in range(1500):
        sock.sendall(b"POST /%d/%d/%s HTTP/1.1\r\nhost: mill\r\ncontent-length: 0\r\n\r\n" % (i, n, b"x" * 8000))
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for thread in threads: thread.start()
while sum(done) < 6000: time.sleep(0.05)
print("sent", 6000, flush=True)
time.sleep(1000)
"#,
        |record| record.kind == RecordKind::Operation && record.protocol == "http",
    );
}

#[test]
fn packets_that_the_firewall_refuses() {
    counted(
        r#"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(20000):
    try: sock.sendto(b"x", (f"224.{n >> 16}.{n >> 8 & 255}.{n & 255}", 5000))
    except PermissionError: pass
    if n % 200 == 0: time.sleep(0.01)
print("sent", 20000, flush=True)
time.sleep(1000)
"#,
        |record| record.kind == RecordKind::Wall,
    );
}
