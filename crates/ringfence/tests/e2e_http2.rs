//! HTTP/2 and gRPC from an agent, by clients and servers that others wrote: curl, h2load, python3-h2, nghttpd, grpcio.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use e2e_support::{BINARY, PYTHON, Puppet, curl, serve, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Node, NodeOptions};
use serde_json::{Value, json};

const SERVICES: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: shop }
spec: { protocol: http2, port: 8080, hosts: [shop.example.test] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: calls }
spec: { protocol: grpc, port: 50051 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: does what tests tell it }
"#;

const POLICY: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  mode: enforce
  initiate:
    - service: shop
      operations: ["GET /**", "POST /items"]
    - service: calls
      operations: ["shop.v1.Orders/*", "shop.v1.Admin/Ping"]
"#;

/// Tells what it received, in JSON. `GET /big/N` sends N MiB.
const SHOP: &str = r#"
import json, socket, threading
import h2.config, h2.connection, h2.events

def serve(sock, peer):
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    conn.initiate_connection()
    sock.sendall(conn.data_to_send())
    requests, waiting = {}, {}

    def pump():
        for stream in list(waiting):
            while stream in waiting:
                data = waiting[stream]
                room = min(conn.local_flow_control_window(stream), conn.max_outbound_frame_size, len(data))
                if room == 0 and data:
                    break
                conn.send_data(stream, data[:room], end_stream=room == len(data))
                waiting[stream] = data[room:]
                if not waiting[stream]:
                    del waiting[stream]

    while data := sock.recv(65536):
        for event in conn.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                requests[event.stream_id] = (event.headers, bytearray())
            elif isinstance(event, h2.events.DataReceived):
                requests[event.stream_id][1].extend(event.data)
                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                headers, body = requests.pop(event.stream_id)
                named = dict(headers)
                path = named[":path"]
                print(named[":method"], path, flush=True)
                if path.startswith("/big/"):
                    payload = b"x" * (int(path[5:]) << 20)
                else:
                    payload = json.dumps({"headers": headers, "length": len(body), "from": peer[0]}).encode()
                conn.send_headers(event.stream_id, [(":status", "200"), ("content-length", str(len(payload)))])
                waiting[event.stream_id] = payload
            elif isinstance(event, h2.events.ConnectionTerminated):
                return
        pump()
        sock.sendall(conn.data_to_send())

listener = socket.create_server(("::", 8080), family=socket.AF_INET6, backlog=100)
print("shop is serving", flush=True)
while True:
    sock, peer = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=(sock, peer), daemon=True).start()
"#;

/// A service of gRPC that echoes.
const CALLS: &str = include_str!("e2e_http2/calls.py");
/// Calls as it is told, on one channel.
const CALLER: &str = include_str!("e2e_http2/caller.py");

fn start() -> Node {
    NodeOptions::new(BINARY)
        .file("services.yaml", SERVICES)
        .file("policy.yaml", POLICY)
        .start()
        .unwrap()
}

fn caller(node: &Node) -> Puppet {
    let path = workdir(node, "work-agent", "caller.py", CALLER);
    let launch = node.workload("agent").workdir(&path).open_stdin();
    let mut running = launch.spawn(&[PYTHON, "-u", "caller.py"]).unwrap();
    running.wait_until_it_says("ready").unwrap();
    Puppet::of(running)
}

fn operations(node: &Node, protocol: &str) -> Vec<(String, Outcome)> {
    let flows = node.flows_where(0, |r| {
        r.kind == RecordKind::Operation && r.protocol == protocol
    });
    let told = |r: ringfence_model::FlowRecord| (r.operation, r.outcome);
    flows.unwrap().into_iter().map(told).collect()
}

#[test]
fn curl_reaches_what_is_named_and_is_refused_the_rest() {
    let node = start();
    let service = serve(&node, "shop", SHOP);
    let h2 = "--http2-prior-knowledge";
    let (output, body, code) = curl(
        &node,
        &[
            h2,
            "http://shop:8080/%69tems?q=1",
            "-H",
            "X-Forwarded-Client-Cert: URI=root",
        ],
    );
    assert_eq!(code, 200, "{output:?}");
    let told: Value = serde_json::from_str(&body).unwrap();
    let headers = told["headers"].as_array().unwrap();
    let all = |name: &str| -> Vec<&str> {
        headers
            .iter()
            .filter(|pair| pair[0] == name)
            .map(|pair| pair[1].as_str().unwrap())
            .collect()
    };
    assert_eq!(all(":path"), ["/items?q=1"]);
    assert_eq!(all(":authority"), ["shop:8080"]);
    let by = all("x-forwarded-client-cert");
    assert_eq!(by.len(), 1, "{by:?}");
    assert!(by[0].ends_with("/agent/agent"), "{by:?}");

    let (output, body, code) = curl(&node, &[h2, "-X", "DELETE", "http://shop:8080/items"]);
    assert_eq!((output.code, code), (Some(0), 403), "{output:?}");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({"error": "refused by policy", "retry": false})
    );
    assert!(!service.process.stdout().contains("DELETE"));

    // One connection, many requests, and much in both directions.
    let upload = "x".repeat(100_000);
    let (output, body, code) = curl(
        &node,
        &[h2, "http://shop:8080/items", "--data-binary", &upload],
    );
    assert_eq!(code, 200, "{output:?}");
    assert!(body.contains("\"length\": 100000"), "{body}");
    let (output, body, code) = curl(&node, &[h2, "http://shop:8080/big/8"]);
    assert_eq!((code, body.len()), (200, 8 << 20), "{}", output.stderr);

    assert_eq!(
        operations(&node, "http2"),
        [
            ("GET /items".to_owned(), Outcome::Allow),
            ("DELETE /items".to_owned(), Outcome::Deny),
            ("POST /items".to_owned(), Outcome::Allow),
            ("GET /big/8".to_owned(), Outcome::Allow),
        ]
    );
}

#[test]
fn nobody_is_upgraded_and_nothing_is_translated() {
    let node = start();
    // One that speaks HTTP/1.1 alone.
    let plain = "import http.server\n\
                 class Server(http.server.ThreadingHTTPServer):\n    pass\n\
                 server = Server(('0.0.0.0', 8080), http.server.SimpleHTTPRequestHandler)\n\
                 print('shop is serving', flush=True)\nserver.serve_forever()";
    let service = serve(&node, "shop", plain);
    for version in ["--http1.1", "--http2"] {
        let (output, _, code) = curl(&node, &[version, "http://shop:8080/items"]);
        assert_ne!(output.code, Some(0), "{version}: {output:?}");
        assert_ne!(code, 200, "{version}");
    }
    let refused = node
        .wait_for_flow(|r| r.operation.starts_with("GET /items") && r.outcome == Outcome::Deny)
        .unwrap();
    assert_eq!(
        refused.reason,
        "service shop speaks http2, and its caller sent a request of HTTP/1"
    );
    let smuggled = "GET /secret HTTP/1.1\r\nhost: shop\r\n\r\n";
    let (output, _, code) = curl(
        &node,
        &[
            "--http2-prior-knowledge",
            "http://shop:8080/items",
            "--data-binary",
            smuggled,
        ],
    );
    assert_eq!(code, 502, "{output:?}");
    let seen = format!("{}{}", service.process.stdout(), service.process.stderr());
    assert!(
        !seen.contains("secret") && !seen.contains("items"),
        "{seen}"
    );
}

#[test]
fn thousands_of_streams_over_a_few_connections_all_arrive() {
    let node = start();
    let _service = {
        let path = workdir(&node, "work-shop", "index.html", "hello from nghttpd");
        let mut running = node
            .workload("shop")
            .workdir(&path)
            .spawn(&["nghttpd", "-v", "--no-tls", "8080", "--htdocs", "."])
            .unwrap();
        running.wait_until_it_says("listen 0.0.0.0:8080").unwrap();
        running
    };
    let output = node
        .run(
            "agent",
            &[
                "h2load",
                "-n",
                "4000",
                "-c",
                "4",
                "-m",
                "64",
                "http://shop:8080/index.html",
            ],
        )
        .unwrap();
    let all = "4000 total, 4000 started, 4000 done, 4000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(output.stdout.contains(all), "{output:?}");
}

#[test]
fn calls_pass_by_name_and_a_refused_one_leaves_its_neighbours_alone() {
    let node = start();
    let service = serve(&node, "calls", CALLS);
    let mut agent = caller(&node);
    assert_eq!(
        agent.tell(json!(["one", "/shop.v1.Orders/Get", "7"])),
        json!({"ok": "got 7"})
    );
    assert_eq!(
        agent.tell(json!(["row", "/shop.v1.Orders/Row", 5])),
        json!({"ok": ["0", "1", "2", "3", "4"]})
    );
    agent.tell(json!(["chat", "a", "/shop.v1.Orders/Chat"]));
    assert_eq!(
        agent.tell(json!(["say", "a", "1"])),
        json!({"ok": "heard 1"})
    );
    for method in [
        "/shop.v1.Admin/Get",
        "/shop.v2.Orders/Get",
        "/shop.v1.orders/Get",
    ] {
        let told = agent.tell(json!(["one", method, "x"]));
        assert_eq!(told["code"], "PERMISSION_DENIED", "{method}: {told}");
        assert_eq!(told["details"], "refused by policy");
    }
    assert_eq!(
        agent.tell(json!(["say", "a", "2"])),
        json!({"ok": "heard 2"})
    );
    assert_eq!(agent.tell(json!(["say", "a", null])), json!({"end": "OK"}));
    let told = agent.tell(json!(["one", "/shop.v1.Orders/Fail", "x"]));
    assert_eq!(
        (&told["code"], &told["details"], &told["trailers"]["x-sum"]),
        (
            &json!("FAILED_PRECONDITION"),
            &json!("not now"),
            &json!("7")
        )
    );
    assert!(!service.process.stdout().contains("Admin"));
    let denied = operations(&node, "grpc");
    assert!(
        denied.contains(&("shop.v1.Admin/Get".to_owned(), Outcome::Deny)),
        "{denied:?}"
    );
}

#[test]
fn a_reload_cuts_the_calls_that_are_no_longer_allowed_and_no_other() {
    let node = start();
    let _service = serve(&node, "calls", CALLS);
    let mut agent = caller(&node);
    agent.tell(json!(["chat", "stays", "/shop.v1.Orders/Chat"]));
    agent.tell(json!(["chat", "goes", "/shop.v1.Admin/Ping"]));
    for name in ["stays", "goes"] {
        assert_eq!(
            agent.tell(json!(["say", name, "1"])),
            json!({"ok": "heard 1"})
        );
    }
    let narrower = POLICY.replace(", \"shop.v1.Admin/Ping\"", "");
    assert_ne!(narrower, POLICY);
    node.reload("policy.yaml", &narrower).unwrap();
    let told = agent.tell(json!(["wait", "goes"]));
    assert!(told["code"].is_string(), "{told}");
    assert_eq!(
        agent.tell(json!(["say", "stays", "2"])),
        json!({"ok": "heard 2"})
    );
    let cut = node
        .wait_for_flow(|r| r.operation == "shop.v1.Admin/Ping" && r.outcome == Outcome::Deny)
        .unwrap();
    assert!(
        cut.reason.contains("revoked by generation"),
        "{}",
        cut.reason
    );
    let told = agent.tell(json!(["one", "/shop.v1.Admin/Ping", "x"]));
    assert_eq!(told["code"], "PERMISSION_DENIED", "{told}");
}
