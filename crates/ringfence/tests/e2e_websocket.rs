//! WebSockets and answers that take their time, between programs that others wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use e2e_support::{BINARY, PYTHON, Puppet, SERVICES, serve, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Node, NodeOptions};
use serde_json::json;

fn policy(operations: &str) -> String {
    format!(
        "apiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: agent }}\n\
         spec:\n  agent: agent\n  initiate:\n    - service: web\n      operations: {operations}\n"
    )
}

fn start(operations: &str) -> Node {
    NodeOptions::new(BINARY)
        .file("services.yaml", SERVICES)
        .file("policy.yaml", &policy(operations))
        .start()
        .unwrap()
}

/// Debian's python3-websockets: says back what it hears, and counts without being asked under `/count`.
const SERVICE: &str = r#"
import asyncio, websockets
async def talk(socket, path):
    print("opened", path, flush=True)
    try:
        if path == "/count":
            for number in range(1000000):
                await socket.send(str(number))
                await asyncio.sleep(0.01)
        async for message in socket:
            await socket.send(message)
        print("ended", flush=True)
    except websockets.ConnectionClosed as closed:
        print("broken", closed.code, flush=True)
async def main():
    async with websockets.serve(talk, "0.0.0.0", 8080, max_size=None, ping_interval=None):
        print("web is serving", flush=True)
        await asyncio.Future()
asyncio.run(main())
"#;

/// An agent with the same library.
const AGENT: &str = r#"
import asyncio, json, sys, websockets
kept = {}
async def open_socket(name, path):
    try:
        kept[name] = await websockets.connect("ws://web:8080" + path, max_size=None, ping_interval=None, compression=None)
        return {"opened": True}
    except websockets.InvalidStatusCode as refused:
        return {"status": refused.status_code}
async def say(name, text, times):
    try:
        for _ in range(times):
            await kept[name].send(text)
            heard = await kept[name].recv()
            if heard != text:
                return {"heard": heard[:100]}
        return {"heard": times}
    except websockets.ConnectionClosed as closed:
        return {"closed": closed.code}
async def hear(name, times):
    try:
        return {"heard": [await kept[name].recv() for _ in range(times)]}
    except websockets.ConnectionClosed as closed:
        return {"closed": closed.code}
async def until_cut(name):
    try:
        while True:
            await kept[name].recv()
    except websockets.ConnectionClosed as closed:
        return {"closed": closed.code}
async def close(name):
    await kept.pop(name).close()
    return {"closed": True}
async def main():
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, *arguments = json.loads(line)
        print(json.dumps(await globals()[verb](*arguments)), flush=True)
asyncio.run(main())
"#;

fn agent(node: &Node) -> Puppet {
    let path = workdir(node, "work-agent", "agent.py", AGENT);
    let launch = node.workload("agent").workdir(&path).open_stdin();
    let mut running = launch.spawn(&[PYTHON, "-u", "agent.py"]).unwrap();
    running.wait_until_it_says("ready").unwrap();
    Puppet::of(running)
}

#[test]
fn a_websocket_is_opened_where_it_is_named_and_carries_everything() {
    let node = start("[\"* /**\", \"WEBSOCKET /talk/*\"]");
    let mut service = serve(&node, "web", SERVICE);
    let mut agent = agent(&node);
    assert_eq!(
        agent.tell(json!(["open_socket", "a", "/talk/1"])),
        json!({"opened": true})
    );
    assert_eq!(
        agent.tell(json!(["say", "a", "hello", 100])),
        json!({"heard": 100})
    );
    let long = "x".repeat(3 << 20);
    assert_eq!(
        agent.tell(json!(["say", "a", long, 2])),
        json!({"heard": 2})
    );
    assert_eq!(agent.tell(json!(["close", "a"])), json!({"closed": true}));
    service.wait_until_it_says("ended").unwrap();
    // Any method of any path, and still no WebSocket.
    for path in ["/other", "/talk", "/talk/1/2"] {
        assert_eq!(
            agent.tell(json!(["open_socket", "b", path])),
            json!({"status": 403})
        );
        let record = node
            .wait_for_flow(|r| {
                r.outcome == Outcome::Deny && r.operation == format!("WEBSOCKET {path}")
            })
            .unwrap();
        assert_eq!(record.kind, RecordKind::Operation);
    }
    assert_eq!(service.process.stdout().matches("opened").count(), 1);
    let allowed = node
        .flows_where(0, |r| {
            r.kind == RecordKind::Operation && r.protocol == "http" && r.outcome == Outcome::Allow
        })
        .unwrap();
    let told: Vec<_> = allowed.iter().map(|r| r.operation.as_str()).collect();
    assert_eq!(told, ["WEBSOCKET /talk/1"]);
    let close = node
        .wait_for_flow(|r| r.kind == RecordKind::Close && r.connection == allowed[0].connection)
        .unwrap();
    assert!(
        close.bytes_sent > 6 << 20 && close.bytes_received > 6 << 20,
        "{close:?}"
    );
    assert_eq!(
        (close.outcome, close.reason.as_str()),
        (Outcome::Allow, "finished")
    );
}

#[test]
fn a_change_of_policy_cuts_the_websocket_it_forbids_and_no_other() {
    let node = start("[\"WEBSOCKET /count\", \"WEBSOCKET /talk/*\"]");
    let mut service = serve(&node, "web", SERVICE);
    let mut agent = agent(&node);
    assert_eq!(
        agent.tell(json!(["open_socket", "a", "/count"])),
        json!({"opened": true})
    );
    assert_eq!(
        agent.tell(json!(["open_socket", "b", "/talk/1"])),
        json!({"opened": true})
    );
    assert_eq!(
        agent.tell(json!(["hear", "a", 3])),
        json!({"heard": ["0", "1", "2"]})
    );
    node.reload(
        "policy.yaml",
        &policy("[\"GET /count\", \"WEBSOCKET /talk/*\"]"),
    )
    .unwrap();
    // 1006: cut, without a close frame.
    assert_eq!(
        agent.tell(json!(["until_cut", "a"])),
        json!({"closed": 1006})
    );
    service.wait_until_it_says("broken 1006").unwrap();
    assert_eq!(
        agent.tell(json!(["say", "b", "still here", 3])),
        json!({"heard": 3})
    );
    assert_eq!(
        agent.tell(json!(["open_socket", "c", "/count"])),
        json!({"status": 403})
    );
    let close = node
        .wait_for_flow(|r| r.kind == RecordKind::Close && r.outcome == Outcome::Deny)
        .unwrap();
    assert!(
        close.reason.starts_with("revoked by generation"),
        "{}",
        close.reason
    );
}

/// Sends an event each time it is asked to over another connection, so that it never runs ahead.
const EVENTS: &str = r#"
import socket, queue
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
due = queue.Queue()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        due.put(self.path)
        self.send_response(204)
        self.end_headers()
    def do_GET(self):
        if self.path == "/poll":
            name = due.get()
            self.send_response(200)
            self.send_header("content-length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        if self.path == "/events/chunked":
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("connection", "close")
        self.end_headers()
        while (name := due.get()) != "/end":
            event = f"data: {name}\n\n".encode()
            if self.path == "/events/chunked":
                event = b"%x\r\n%s\r\n" % (len(event), event)
            self.wfile.write(event)
            self.wfile.flush()
        if self.path == "/events/chunked":
            self.wfile.write(b"0\r\n\r\n")
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("0.0.0.0", 8080), Handler)
server.daemon_threads = True
print("web is serving", flush=True)
server.serve_forever()
"#;

/// Asks for the next event only when it has the one before.
const LISTENER: &str = r#"
import http.client, time
def post(path):
    conn = http.client.HTTPConnection("web", 8080, timeout=30)
    conn.request("POST", path)
    conn.getresponse().read()
    conn.close()
for path in ["/events/chunked", "/events/plain"]:
    conn = http.client.HTTPConnection("web", 8080, timeout=30)
    conn.request("GET", path, headers={"Connection": "close"})
    answer = conn.getresponse()
    worst = 0
    for number in range(20):
        if number == 10:
            time.sleep(12)
        began = time.monotonic()
        post(f"/{number}")
        # As it comes, with the sizes of chunks between.
        while not (line := answer.fp.readline()).startswith(b"data: "):
            assert line, "it has ended"
        worst = max(worst, time.monotonic() - began)
        assert line == f"data: /{number}\n".encode(), line
    post("/end")
    rest = answer.fp.read()
    assert rest in (b"\n\r\n0\r\n\r\n", b"\n"), rest
    conn.close()
    print(path, "worst", round(worst, 3), flush=True)
for number in range(3):
    conn = http.client.HTTPConnection("web", 8080, timeout=60)
    conn.request("GET", "/poll")
    time.sleep(0 if number else 12)
    post(f"/poll-{number}")
    answer = conn.getresponse()
    assert answer.read() == f"/poll-{number}".encode()
    conn.close()
print("all there", flush=True)
"#;

/// Each event arrives before the next one is sent, also after a pause that is longer than any bound on answers of ours.
#[test]
fn events_and_long_polls_arrive_when_they_are_sent() {
    let node = start("[\"GET /events/*\", \"GET /poll\", \"POST /*\"]");
    let _service = serve(&node, "web", EVENTS);
    let path = workdir(&node, "work-agent", "listener.py", LISTENER);
    let output = node
        .workload("agent")
        .workdir(&path)
        .limit(std::time::Duration::from_secs(240))
        .run(&[PYTHON, "-u", "listener.py"])
        .unwrap();
    assert!(output.stdout.contains("all there"), "{output:?}");
}
