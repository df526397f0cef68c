//! Server-sent events and long polls over HTTP/2: what a service says is with the agent when it is said, not when there is
//! more of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{BINARY, PYTHON, serve, workdir};
use ringfence_testbed::NodeOptions;

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: news }
spec: { protocol: http2, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: listens }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  initiate:
    - { service: news, operations: ["GET /events", "GET /poll"] }
"#;

/// Between two events, and before the answer to a poll.
const GAP: Duration = Duration::from_millis(500);
const EVENTS: usize = 10;

/// `/events` says what time it is, again and again, and `/poll` once, after a while.
const NEWS: &str = r#"
import socket, threading, time
import h2.config, h2.connection, h2.events

def serve(sock):
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    lock = threading.Lock()
    conn.initiate_connection()
    sock.sendall(conn.data_to_send())

    def say(act):
        with lock:
            act()
            sock.sendall(conn.data_to_send())

    def event(stream, end):
        say(lambda: conn.send_data(stream, b"data: %d\n\n" % time.monotonic_ns(), end_stream=end))

    def answer(stream, path):
        if path == "/poll":
            time.sleep(GAP)
        say(lambda: conn.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")]))
        count = EVENTS if path == "/events" else 1
        for number in range(count):
            if path == "/events":
                time.sleep(GAP)
            event(stream, number == count - 1)

    while data := sock.recv(65536):
        with lock:
            events = conn.receive_data(data)
            sock.sendall(conn.data_to_send())
        for event_ in events:
            if isinstance(event_, h2.events.RequestReceived):
                path = dict(event_.headers)[":path"]
                threading.Thread(target=answer, args=(event_.stream_id, path), daemon=True).start()

listener = socket.create_server(("0.0.0.0", 8080), backlog=100)
print("news is serving", flush=True)
while True:
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=(sock,), daemon=True).start()
"#;

/// Tells of each event how long it was on its way, in microseconds: the clock is the machine's, and the same for both.
const STAMP: &str = r#"
import sys, time
while line := sys.stdin.readline():
    if line.startswith("data: "):
        print((time.monotonic_ns() - int(line[6:])) // 1000, flush=True)
"#;

#[test]
fn an_event_is_there_when_it_is_said() {
    let node = NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .start()
        .unwrap();
    let program = NEWS
        .replace("GAP", &GAP.as_secs_f64().to_string())
        .replace("EVENTS", &EVENTS.to_string());
    let _news = serve(&node, "news", &program);
    let path = workdir(&node, "work-agent", "stamp.py", STAMP);
    for (what, count) in [("events", EVENTS), ("poll", 1)] {
        let curl = format!(
            "curl -sS -N --max-time 60 --http2-prior-knowledge http://news:8080/{what} | {PYTHON} -u stamp.py"
        );
        let launch = node.workload("agent").workdir(&path);
        let output = launch.run(&["sh", "-c", &curl]).unwrap().ok();
        let mut delays: Vec<Duration> = output
            .stdout
            .lines()
            .map(|line| Duration::from_micros(line.parse().unwrap()))
            .collect();
        println!("{what}: {delays:?}");
        assert_eq!(delays.len(), count, "{output:?}");
        // One that waits for the next is late by the time between them.
        delays.sort_unstable();
        assert!(delays[count - 1] < GAP * 4 / 5, "{what}: {delays:?}");
        assert!(delays[count / 2] < GAP / 5, "{what}: {delays:?}");
    }
}
