//! Services outside compartments, as a model API is: declared, dialled with TLS by the enforcer, exempt until a day.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{BINARY, PYTHON, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::{Node, NodeOptions, Process};

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: model-api }
spec:
  protocol: http
  port: 80
  hosts: [api.model.test]
  endpoints: [{ address: "10.9.9.9:443", tls: { ca: CA, name: api.model.test } }]
  mutualAuth: { exempt: "the provider offers no client certificates", until: UNTIL }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: asks a model }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  mode: enforce
  initiate: [{ service: model-api, operations: ["POST /v1/messages"] }]
"#;

const SERVER: &str = r#"
import http.server, json, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        payload = json.dumps({"host": self.headers["host"], "path": self.path, "tls": self.connection.version()}).encode()
        print("asked", flush=True)
        self.send_response(200)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)
    def log_message(self, *_): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server = http.server.ThreadingHTTPServer(("10.9.9.9", 443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("on", flush=True)
server.serve_forever()
"#;

/// A node whose model API is a TLS server on the host, with a certificate for `name`.
fn start(until: &str, name: &str) -> (Node, Process) {
    let node = NodeOptions::new(BINARY).start().unwrap();
    let path = workdir(&node, "tls", "server.py", SERVER);
    let (cert, key) = (path.join("cert.pem"), path.join("key.pem"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    node.host()
        .run_as_root(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
        .unwrap()
        .ok();
    let conf = format!(
        "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=test\n\
         [ext]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{name}\n"
    );
    std::fs::write(path.join("conf"), conf).unwrap();
    let conf = path.join("conf");
    let script = "openssl req -x509 -config $0 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -out $1 -keyout $2";
    node.host()
        .run(["sh", "-c", script, conf.to_str().unwrap(), cert, key])
        .unwrap()
        .ok();
    let server = path.join("server.py");
    let server = node
        .host()
        .start_as_root([PYTHON, "-u", server.to_str().unwrap(), cert, key])
        .unwrap();
    server.wait_stdout("on", Duration::from_secs(10)).unwrap();
    node.reload(
        "estate.yaml",
        &ESTATE.replace("UNTIL", until).replace("CA", cert),
    )
    .unwrap();
    (node, server)
}

const POST: [&str; 8] = [
    "curl",
    "-sS",
    "--max-time",
    "15",
    "-w",
    "\n%{http_code}",
    "-d",
    "{}",
];

fn post(node: &Node, url: &str) -> ringfence_testbed::Output {
    let words: Vec<_> = POST.into_iter().chain([url]).collect();
    node.run("agent", &words).unwrap()
}

#[test]
fn an_agent_reaches_its_model_api_and_only_the_operation_it_needs() {
    let (node, server) = start("2099-01-01", "api.model.test");
    let output = post(&node, "http://api.model.test/v1/messages");
    assert!(output.stdout.ends_with("\n200"), "{output:?}");
    assert!(
        output.stdout.contains(r#""tls": "TLSv1.3""#)
            && output.stdout.contains(r#""path": "/v1/messages""#),
        "{output:?}"
    );
    let refused = post(&node, "http://api.model.test/v1/files");
    assert!(refused.stdout.ends_with("\n403"), "{refused:?}");
    assert_eq!(server.stdout().matches("asked").count(), 1);
    let flow = node
        .wait_for_flow(|r| r.kind == RecordKind::Operation && r.operation == "POST /v1/messages")
        .unwrap();
    assert_eq!(
        (flow.outcome, flow.destination.as_str()),
        (Outcome::Allow, "model-api")
    );
}

#[test]
fn a_certificate_for_another_name_is_not_the_model_api() {
    let (node, server) = start("2099-01-01", "api.other.test");
    let output = post(&node, "http://api.model.test/v1/messages");
    assert!(!output.stdout.ends_with("\n200"), "{output:?}");
    assert!(!server.stdout().contains("asked"), "{}", server.stdout());
    let flow = node
        .wait_for_flow(|r| r.destination == "model-api" && r.outcome == Outcome::Error)
        .unwrap();
    assert!(flow.reason.contains("not valid for"), "{flow:?}");
}

#[test]
fn an_exemption_that_has_lapsed_denies() {
    let (node, server) = start("2020-01-01", "api.model.test");
    let output = post(&node, "http://api.model.test/v1/messages");
    assert!(!output.stdout.ends_with("\n200"), "{output:?}");
    assert!(!server.stdout().contains("asked"), "{}", server.stdout());
}
