//! Connections to an endpoint whose name server is silent: whoever makes them waits, and nobody else.

use std::time::{Duration, Instant};

use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Neighbour, Node};

use crate::ground::{PYTHON, number, options, ready, seconds, start, unnoticed};

/// `abroad` is looked up at the name server, `library` in a file.
const ABROAD: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: abroad }
spec:
  protocol: tcp
  port: 7000
  endpoints: [{ address: "silent.test:7000" }]
  mutualAuth: { exempt: "a test", until: 2099-01-01 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: library }
spec:
  protocol: tcp
  port: 7100
  endpoints: [{ address: "prompt.test:7100" }]
  mutualAuth: { exempt: "a test", until: 2099-01-01 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: caller }
spec: { purpose: calls where nobody says where that is }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: caller }
spec:
  agent: caller
  mode: enforce
  initiate: [{ service: abroad, operations: [connect] }]
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: reader }
spec: { purpose: reads in the library }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: reader }
spec:
  agent: reader
  mode: enforce
  initiate: [{ service: library, operations: [connect] }]
"#;

/// One more service, which nobody may use: a change that has to come into force.
const MORE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: annex }
spec: { protocol: tcp, port: 7200 }
"#;

/// Where names are found on this host.
const NAMES: &str = r#"
set -e
cd "$0"
echo "127.0.0.1 localhost prompt.test" >hosts
echo "hosts: files dns" >nsswitch.conf
echo "nameserver 127.0.0.1" >resolv.conf
chmod 644 hosts nsswitch.conf resolv.conf
for file in hosts nsswitch.conf resolv.conf; do mount --bind "$file" "/etc/$file"; done
"#;

/// A name server that is asked and says nothing, and the library.
const OUTSIDE: &str = r#"
import socket, threading
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 53))
library = socket.create_server(("127.0.0.1", 7100), backlog=128)
def lend():
    while True:
        sock = library.accept()[0]
        sock.sendall(b"!")
        sock.close()
threading.Thread(target=lend, daemon=True).start()
print("ready", flush=True)
asked = 0
while True:
    names.recv(600)
    asked += 1
    print("asked", asked, flush=True)
"#;

const CALLER: &str = r#"
to = at("abroad", 7000)
def work(i, n):
    with socket.create_connection(to, timeout=20) as sock: sock.recv(1)
go(200, work)
"#;

const READER: &str = r#"
to = at("library", 7100)
worst, number, wrong = 0, 0, 0
print("ready", flush=True)
while True:
    began = time.monotonic()
    try:
        with socket.create_connection(to, timeout=10) as sock: wrong += sock.recv(1) != b"!"
    except OSError: wrong += 1
    worst = max(worst, time.monotonic() - began)
    number += 1
    print("worst", int(worst * 1000), flush=True)
    print("wrong", wrong, flush=True)
    print("visits", number, flush=True)
    time.sleep(0.05)
"#;

fn node() -> Node {
    let node = options().file("abroad.yaml", ABROAD).start().unwrap();
    let path = node.host().path().to_str().unwrap().to_owned();
    let named = node.host().run_as_root(["sh", "-c", NAMES, &path]).unwrap();
    assert_eq!(named.code, Some(0), "{}", named.stderr);
    node
}

/// `LOOKUP_THREADS`, `LOOKUP_TIMEOUT`: neither the look-ups of others wait behind those of one, nor does policy.
#[test]
fn names_that_do_not_resolve_hold_up_who_asks_for_them() {
    let node = node();
    let outside = node
        .host()
        .start_as_root([PYTHON, "-u", "-c", OUTSIDE])
        .unwrap();
    outside
        .wait_stdout("ready", Duration::from_secs(20))
        .unwrap();
    let neighbour = Neighbour::start(&node).unwrap();
    let reader = ready(&node, "reader", READER);
    unnoticed(&node, &neighbour, || {
        let mut caller = start(&node, "caller", CALLER);
        caller.wait_until_it_says("ready").unwrap();
        // Each of its threads has given up once by then, and begun anew.
        seconds(7);
        let began = Instant::now();
        node.reload("more.yaml", MORE).unwrap();
        let took = began.elapsed();
        println!("a new generation took {took:?} to come into force");
        assert!(took < Duration::from_secs(5), "{took:?}");
        caller
    });
    let (worst, wrong) = (number(&reader, "worst"), number(&reader, "wrong"));
    let visits = number(&reader, "visits");
    println!("{visits} visits to the library, the slowest took {worst} ms");
    assert_eq!(wrong, 0, "visits to the library failed");
    assert!(worst < 2500, "a visit to the library took {worst} ms");
    let failed = node
        .flows_where(0, |record| {
            record.source == "caller"
                && record.kind == RecordKind::Close
                && record.outcome == Outcome::Error
                && record.reason.contains("did not resolve within 5s")
        })
        .unwrap();
    assert!(failed.len() >= 200, "{} have failed", failed.len());
}
