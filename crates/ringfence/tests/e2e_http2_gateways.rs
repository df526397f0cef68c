//! A gateway behind us translates HTTP/2 into HTTP/1.1: the server behind it hears exactly the requests that are on record as
//! allowed, whatever was tried.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;
#[path = "e2e_http2/envoy.rs"]
mod envoy;

use std::time::Duration;

use e2e_support::{BINARY, PYTHON, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::NodeOptions;
use serde_json::Value;

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: web }
spec: { protocol: http2, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: smuggles }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  initiate:
    - { service: web, operations: ["GET /**", "HEAD /**", "POST /**", "DELETE /**", "OPTIONS /**"] }
"#;
const SMUGGLE: &str = include_str!("e2e_http2/smuggle.py");

/// Behind the gateway: takes its lengths from the head alone, keeps connections, and says what it was asked.
const BEHIND: &str = r#"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        print("heard", self.command, self.path, flush=True)
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size + 2)
            while self.rfile.readline().strip():
                pass
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    do_GET = do_HEAD = do_POST = do_DELETE = do_PATCH = do_OPTIONS = do_CONNECT = answer
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9090), Handler).serve_forever()
"#;

const NGINX: &str = "
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  upstream behind { server 127.0.0.1:9090; keepalive 4; }
  server {
    listen 8080 http2;
    underscores_in_headers on;
    location / {
      proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_request_buffering off;
    }
  }
}
";

const HAPROXY: &str = "
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend front
  bind 0.0.0.0:8080 proto h2
  default_backend behind
backend behind
  http-reuse always
  server one 127.0.0.1:9090
";

#[test]
fn the_server_behind_a_gateway_hears_what_is_on_record_and_nothing_else() {
    for (file, conf, gateway) in [
        (
            "nginx.conf",
            NGINX,
            "/usr/sbin/nginx -e stderr -p . -c nginx.conf",
        ),
        (
            "haproxy.cfg",
            HAPROXY,
            "/usr/sbin/haproxy -db -f haproxy.cfg",
        ),
        ("envoy.yaml", &envoy::conf(9090, false), envoy::COMMAND),
    ] {
        let envoy = file == "envoy.yaml";
        if envoy && envoy::program().is_none() {
            eprintln!("skipped: {}", envoy::MISSING);
            continue;
        }
        let node = NodeOptions::new(BINARY)
            .file("estate.yaml", ESTATE)
            .start()
            .unwrap();
        let path = workdir(&node, "work-web", "behind.py", BEHIND);
        workdir(&node, "work-web", file, conf);
        if envoy {
            envoy::put_into(&path);
        }
        let open = |port: u16| {
            format!(
                "while ! {PYTHON} -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))' 2>/dev/null; do sleep 0.1; done"
            )
        };
        let (behind, before) = (open(9090), open(8080));
        let script = format!(
            "{PYTHON} -u behind.py & {behind}; {gateway} & {before}; echo web is serving; wait"
        );
        let mut service = node
            .workload("web")
            .workdir(&path)
            .spawn(&["sh", "-c", &script])
            .unwrap();
        service.wait_until_it_says("web is serving").unwrap();
        let path = workdir(&node, "work-agent", "smuggle.py", SMUGGLE);
        let run = || {
            let words = [PYTHON, "-u", "smuggle.py", "web", "8080"];
            let launch = node.workload("agent").workdir(&path);
            launch
                .limit(Duration::from_secs(300))
                .run(&words)
                .unwrap()
                .ok()
        };
        let output = run();
        let told: Vec<(String, Value)> = output
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let became = |name: &str| {
            told.iter()
                .find(|(own, _)| own == name)
                .map(|(_, it)| it.clone())
        };
        for name in [
            "plain",
            "head",
            "query",
            "escapes",
            "no-length",
            "length",
            "last",
        ] {
            assert_eq!(became(name), Some(200.into()), "{file}: {name} {told:?}");
        }
        // This nginx takes no trailers of requests.
        if file != "nginx.conf" {
            assert_eq!(became("trailers"), Some(200.into()), "{file}: {told:?}");
        }
        let mut allowed: Vec<String> = node
            .flows_where(0, |r| {
                r.kind == RecordKind::Operation
                    && r.protocol == "http2"
                    && r.outcome == Outcome::Allow
            })
            .unwrap()
            .into_iter()
            .map(|r| r.operation)
            .collect();
        // Of one whose body breaks off the gateway may say nothing to the server, or a part: it is on record either way.
        let broken = |operation: &str| {
            ["/length-", "/trailer"]
                .iter()
                .any(|it| operation.contains(it))
        };
        allowed.retain(|operation| !broken(operation));
        let mut heard: Vec<String> = service
            .process
            .stdout()
            .lines()
            .filter_map(|line| line.strip_prefix("heard "))
            .map(|line| line.split('?').next().unwrap_or_default().to_owned())
            .collect();
        assert!(
            !heard.iter().any(|it| it.contains("smuggled")),
            "{file}: {heard:?}"
        );
        heard.retain(|operation| !broken(operation));
        allowed.sort();
        heard.sort();
        assert_eq!(heard, allowed, "{file}: {told:?}");
    }
}
