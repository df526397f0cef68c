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
    times = []
    for number in range(20):
        if number == 10:
            time.sleep(12)
        began = time.monotonic()
        post(f"/{number}")
        # As it comes, with the sizes of chunks between.
        while not (line := answer.fp.readline()).startswith(b"data: "):
            assert line, "it has ended"
        times.append(time.monotonic() - began)
        assert line == f"data: /{number}\n".encode(), line
    post("/end")
    rest = answer.fp.read()
    assert rest in (b"\n\r\n0\r\n\r\n", b"\n"), rest
    conn.close()
    # Whoever kept them back for a while, to send several at once, would do so with most of them.
    times.sort()
    print(path, "median", round(times[10], 3), "worst", round(times[-1], 3), flush=True)
    assert times[10] < 0.5, times
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

/// Opens whatever it is asked to, and does as its path says; tells what has come to it.
const OPENER: &str = r#"
import base64, hashlib, socket, threading
def talk(conn):
    said = b""
    while b"\r\n\r\n" not in said:
        piece = conn.recv(65536)
        if not piece:
            return conn.close()
        said += piece
    head, rest = said.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin1").split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.lower(), []).append(value.strip())
    path = first.split(" ")[1]
    key = fields.get("sec-websocket-key", ["dGhlIHNhbXBsZSBub25jZQ=="])[0]
    accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    opens = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nplain"
    answer = opens if "websocket" in fields.get("upgrade", []) else plain
    if "/101" in path:
        answer = opens
    elif "/h2c" in path:
        answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    elif "/200" in path:
        answer = plain
    elif "/426" in path:
        answer = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"
    elif "/length" in path:
        answer = opens.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc")
    elif "/other" in path:
        answer = opens.replace(accept, accept[::-1])
    print("came", first, sorted(fields.get("upgrade", [])), sorted(fields.get("connection", [])), rest, flush=True)
    conn.sendall(answer.encode())
    if answer.startswith("HTTP/1.1 101"):
        conn.settimeout(5)
        try:
            while piece := conn.recv(65536):
                print("switched", piece, flush=True)
                conn.sendall(b"heard " + piece)
        except OSError:
            pass
    conn.close()
listener = socket.create_server(("0.0.0.0", 8080), backlog=64)
print("web is serving", flush=True)
while True:
    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
"#;

/// Sends each request as it stands, hears the answer, and then says something that only a switched connection carries.
const RAW: &str = r#"
import json, socket, sys
for request in json.load(open("requests.json")):
    with socket.create_connection(("web", 8080), timeout=20) as conn:
        conn.sendall(request.encode("latin1"))
        heard = b""
        try:
            while b"\r\n\r\n" not in heard:
                piece = conn.recv(65536)
                if not piece:
                    break
                heard += piece
            conn.sendall(b"raw!")
            if heard.startswith(b"HTTP/1.1 101"):
                while b"raw!" not in heard:
                    heard += conn.recv(65536)
        except OSError as error:
            heard += str(error).encode()
    first = heard.split(b"\r\n")[0].decode("latin1")
    print(json.dumps([first, b"heard raw!" in heard]), flush=True)
"#;

const SHAKE: &str = "Host: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What a client, or a service, might slip through as a WebSocket that nobody has decided, or as a request that is one.
#[test]
fn nothing_but_a_websocket_that_was_asked_for_and_allowed_is_ever_switched_to() {
    let shake = |line: &str, more: &str| format!("{line}\r\n{SHAKE}{more}\r\n");
    let swapped = |old: &str, new: &str| {
        let text = SHAKE.replace(old, new);
        assert_ne!(text, SHAKE, "{old}");
        format!("GET /ws/x HTTP/1.1\r\n{text}\r\n")
    };
    let ask = "GET /ws/x HTTP/1.1";
    let opened = "HTTP/1.1 101 Switching Protocols";
    let (bad, refused, gone) = (
        "HTTP/1.1 400 Bad Request",
        "HTTP/1.1 403 Forbidden",
        "HTTP/1.1 502 Bad Gateway",
    );
    let ok = "HTTP/1.1 200 OK";
    // What is sent, the answer, and whether it reaches the service.
    let cases: Vec<(String, &str, bool)> = vec![
        (shake(ask, ""), opened, true),
        (swapped("Connection: Upgrade", "connection: keep-alive\r\nConnection: , upgrade"), opened, true),
        (swapped("Upgrade: websocket", "Upgrade: WebSocket"), opened, true),
        // Where only GET is allowed.
        (shake("GET /plain/x HTTP/1.1", ""), refused, false),
        (shake("GET /ws%2Fx HTTP/1.1", ""), bad, false),
        (shake("GET /ws/../plain/x HTTP/1.1", ""), bad, false),
        (shake("GET //web/ws/x HTTP/1.1", ""), bad, false),
        (shake("GET ws://web/ws/x HTTP/1.1", ""), bad, false),
        (shake("GET http://vault/ws/x HTTP/1.1", ""), bad, false),
        // A request that is none.
        (shake("WEBSOCKET /ws/x HTTP/1.1", ""), bad, false),
        (shake("CONNECT /ws/x HTTP/1.1", ""), bad, false),
        (shake("POST /ws/x HTTP/1.1", ""), bad, false),
        (shake("get /ws/x HTTP/1.1", ""), bad, false),
        (shake("GET /ws/x HTTP/1.0", ""), bad, false),
        (shake(ask, "Content-Length: 4\r\n"), bad, false),
        (shake(ask, "Transfer-Encoding: chunked\r\n"), bad, false),
        (shake(ask, "Expect: 100-continue\r\n"), bad, false),
        (shake(ask, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), bad, false),
        (shake(ask, "sec_websocket_key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), bad, false),
        (shake(ask, "Upgrade: h2c\r\n"), bad, false),
        (shake(ask, "X-HTTP-Method-Override: PUT\r\n"), bad, false),
        (swapped("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), bad, false),
        (swapped("NhbXBsZSBub25jZQ==", ""), bad, false),
        (swapped("Version: 13", "Version: 8"), bad, false),
        (swapped("Version: 13", "Version: 13, 8"), bad, false),
        (swapped("Connection: Upgrade", "Connection: close"), bad, false),
        (swapped("Connection: Upgrade", "Connection: Upgrade, close"), bad, false),
        (swapped("Connection: Upgrade\r\n", ""), bad, false),
        (swapped("Connection: Upgrade", "Connection: Upgrade, Sec-WebSocket-Key"), bad, false),
        (swapped("Upgrade: websocket", "Upgrade: websocket, h2c"), bad, false),
        (swapped("Upgrade: websocket", "Upgrade: h2c,\twebsocket/13"), bad, false),
        (swapped("Upgrade: websocket", "Upgrade : websocket"), bad, false),
        // Neither of these is WebSocket to anybody, and the field ends here.
        (swapped("Upgrade: websocket", "Upgrade: websocket;x"), ok, true),
        (swapped("Upgrade: websocket", "Upgrade: h2c"), ok, true),
        (swapped("Upgrade: websocket\r\n", ""), ok, true),
        // A service that does something else than it was asked for.
        (shake("GET /ws/200 HTTP/1.1", ""), gone, true),
        (shake("GET /ws/h2c HTTP/1.1", ""), gone, true),
        (shake("GET /ws/other HTTP/1.1", ""), gone, true),
        (shake("GET /ws/length HTTP/1.1", ""), gone, true),
        (shake("GET /ws/426 HTTP/1.1", ""), "HTTP/1.1 426 Upgrade Required", true),
        ("GET /plain/101 HTTP/1.1\r\nHost: web\r\n\r\n".to_owned(), gone, true),
        ("GET /plain/h2c HTTP/1.1\r\nHost: web\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n".to_owned(), gone, true),
        // More than the handshake, before it is answered: to a service that declines it would be a request.
        (shake(ask, "") + "GET /secret HTTP/1.1\r\nHost: web\r\n\r\n", bad, true),
    ];
    let node = start("[\"GET /plain/**\", \"GET /ws/x\", \"POST /ws/**\", \"WEBSOCKET /ws/**\"]");
    let service = serve(&node, "web", OPENER);
    let path = workdir(&node, "work-agent", "raw.py", RAW);
    let requests: Vec<&str> = cases.iter().map(|it| it.0.as_str()).collect();
    std::fs::write(path.join("requests.json"), json!(requests).to_string()).unwrap();
    let output = node
        .workload("agent")
        .workdir(&path)
        .limit(std::time::Duration::from_secs(240))
        .run(&[PYTHON, "-u", "raw.py"])
        .unwrap()
        .ok();
    let mut wrong = Vec::new();
    let mut reach = 0;
    for ((sent, wanted, reaches), line) in cases.iter().zip(output.stdout.lines()) {
        let told: (String, bool) = serde_json::from_str(line).unwrap();
        if told != ((*wanted).to_owned(), *wanted == opened) {
            wrong.push(format!("{told:?}, not {wanted:?}: {sent:?}"));
        }
        reach += usize::from(*reaches);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(output.stdout.lines().count(), cases.len());
    let came = service.process.stdout();
    assert_eq!(came.matches("came").count(), reach, "{came}");
    // It has seen an upgrade only where one was decided, never what came ahead of one, and no body.
    assert!(!came.contains("secret"), "{came}");
    for line in came.lines().filter(|it| it.starts_with("came")) {
        let upgrade = line.contains("['websocket'] ['Upgrade'] b''");
        assert!(
            upgrade && line.contains("/ws/") || line.contains(" [] ") && line.ends_with("b''"),
            "{line}"
        );
    }
    let opened = cases.iter().filter(|it| it.1 == opened).count();
    assert_eq!(came.matches("switched b'raw!'").count(), opened, "{came}");
    assert_eq!(came.matches("switched").count(), opened, "{came}");
    let allowed = node
        .flows_where(0, |r| {
            r.kind == RecordKind::Operation && r.protocol == "http" && r.outcome == Outcome::Allow
        })
        .unwrap();
    let allowed: Vec<_> = allowed.iter().map(|r| r.operation.as_str()).collect();
    assert_eq!(allowed.len(), reach, "{allowed:?}");
    let decided = |it: &&str| {
        it.starts_with("WEBSOCKET /ws/") || it.starts_with("GET /plain/") || *it == "GET /ws/x"
    };
    assert!(allowed.iter().all(decided), "{allowed:?}");
}
