//! `protocol: tls`: programs that bring TLS of their own to a service inside get to it by its names only, end to end, and
//! nobody reads what they say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::path::{Path, PathBuf};

use e2e_support::{BINARY, PYTHON, serve, workdir};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Node, NodeOptions, Output, Running};

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: ledger }
spec: { protocol: tls, port: 8443, hosts: [ledger.example.test] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: mirror }
spec: { protocol: tls, port: 8443 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: front }
spec: { protocol: tls, port: 8443 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: web }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: insists on TLS }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  initiate:
    - { service: ledger, operations: [connect] }
    - { service: mirror, operations: [connect] }
    - { service: front, operations: [connect] }
    - { service: web, operations: ["GET /**"] }
"#;

const LEDGER: &str = r#"
import http.server, json, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        payload = json.dumps({"path": self.path, "tls": self.connection.version(), "name": names[-1]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)
    def log_message(self, *_):
        print("asked", self.path, flush=True)
names = [None]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.sni_callback = lambda _sock, name, _context: names.append(name)
context.load_cert_chain("cert.pem", "key.pem")
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ledger is serving", flush=True)
server.serve_forever()
"#;

const NGINX: &str = "
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server {
    listen 8443 ssl http2;
    ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    location / { return 200 \"$server_protocol $ssl_server_name $request_uri\\n\"; }
  }
}
";

/// A key, and a certificate for all names, in `path`.
fn certificate(node: &Node, path: &Path) {
    let conf = "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=test\n\
                [ext]\nbasicConstraints=critical,CA:FALSE\n\
                subjectAltName=DNS:ledger,DNS:ledger.example.test,DNS:mirror,DNS:front,DNS:other.example.test\n";
    std::fs::write(path.join("conf"), conf).unwrap();
    let script = "cd $0 && openssl req -x509 -config conf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                  -out cert.pem -keyout key.pem";
    node.host()
        .run(["sh", "-c", script, path.to_str().unwrap()])
        .unwrap()
        .ok();
}

/// A node, and the directory of an agent that trusts the certificate of all services.
fn start() -> (Node, PathBuf) {
    let node = NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .start()
        .unwrap();
    let path = workdir(&node, "work-agent", "nothing", "");
    certificate(&node, &path);
    (node, path)
}

/// Starts `command` as `name`, with the certificate in its directory.
fn service(
    node: &Node,
    agent: &Path,
    name: &str,
    file: (&str, &str),
    command: &[&str],
    says: &str,
) -> Running {
    let path = workdir(node, &format!("work-{name}"), file.0, file.1);
    for part in ["cert.pem", "key.pem"] {
        std::fs::copy(agent.join(part), path.join(part)).unwrap();
        node.host().own(&path.join(part)).unwrap();
    }
    let mut running = node.workload(name).workdir(&path).spawn(command).unwrap();
    running.wait_until_it_says(says).unwrap();
    running
}

fn ledger(node: &Node, agent: &Path) -> Running {
    let command = [PYTHON, "-u", "service.py"];
    service(
        node,
        agent,
        "ledger",
        ("service.py", LEDGER),
        &command,
        "is serving",
    )
}

fn agent(node: &Node, path: &Path, command: &[&str]) -> Output {
    node.workload("agent").workdir(path).run(command).unwrap()
}

fn curl(node: &Node, path: &Path, arguments: &[&str]) -> Output {
    let mut words = vec!["curl", "-sS", "--max-time", "30", "--cacert", "cert.pem"];
    words.extend(arguments);
    agent(node, path, &words)
}

/// The decision behind the last attempt.
fn last(node: &Node, since: u64) -> FlowRecord {
    node.wait_for_flow(|r| r.seq >= since && r.kind == RecordKind::Operation && r.protocol == "tls")
        .unwrap()
}

#[test]
fn curl_gets_to_a_service_by_its_names_and_the_tls_is_its_own() {
    let (node, path) = start();
    let service = ledger(&node, &path);
    for host in ["ledger", "ledger.example.test"] {
        let head = node.head().unwrap();
        let output = curl(&node, &path, &[&format!("https://{host}:8443/books/1")]).ok();
        // The service itself has seen the name, and has ended the TLS.
        let wanted =
            format!("{{\"path\": \"/books/1\", \"tls\": \"TLSv1.3\", \"name\": \"{host}\"}}");
        assert_eq!(output.stdout, wanted);
        let record = last(&node, head);
        assert_eq!(
            (record.outcome, record.operation.as_str()),
            (Outcome::Allow, "connect")
        );
        assert!(
            record.reason.ends_with(&format!("server name {host}")),
            "{}",
            record.reason
        );
    }
    let told = node.flows().unwrap();
    assert!(
        !told.iter().any(|r| format!("{r:?}").contains("books")),
        "what was said inside is on record"
    );
    assert_eq!(service.process.stdout().matches("asked").count(), 2);
}

#[test]
fn another_name_no_name_and_no_tls_reach_nobody() {
    let (node, path) = start();
    let service = ledger(&node, &path);
    let address = agent(&node, &path, &["dig", "+short", "ledger", "A"])
        .ok()
        .stdout;
    let address = address.trim().to_owned();
    let by_address = format!("https://{address}:8443/");
    for (arguments, reason) in [
        (
            vec![
                "--connect-to",
                "other.example.test:8443:ledger:8443",
                "https://other.example.test:8443/",
            ],
            "server name other.example.test is not one of service ledger",
        ),
        (
            // A name of another service that the agent may use.
            vec![
                "--connect-to",
                "mirror:8443:ledger:8443",
                "https://mirror:8443/",
            ],
            "server name mirror is not one of service ledger",
        ),
        (
            vec!["-k", by_address.as_str()],
            "service ledger speaks tls: no server name",
        ),
        (
            vec!["http://ledger:8443/"],
            "service ledger speaks tls, and its caller sent a request of HTTP/1",
        ),
        (
            vec!["--http2-prior-knowledge", "http://ledger:8443/"],
            "service ledger speaks tls, and its caller sent the preface of HTTP/2",
        ),
    ] {
        let head = node.head().unwrap();
        let output = curl(&node, &path, &arguments);
        assert_ne!(output.code, Some(0), "{reason}: {output:?}");
        assert_eq!(output.stdout, "", "{reason}");
        let record = last(&node, head);
        assert_eq!(
            (record.outcome, record.reason.as_str()),
            (Outcome::Deny, reason)
        );
    }
    assert!(!service.process.stdout().contains("asked"));
    assert!(
        !service.process.stderr().contains("Error"),
        "{}",
        service.process.stderr()
    );
}

#[test]
fn tls_to_a_service_that_speaks_http_is_denied_and_told_as_such() {
    let (node, path) = start();
    let http = "import http.server\nprint('web is serving', flush=True)\nhttp.server.HTTPServer(('', 8080), http.server.SimpleHTTPRequestHandler).serve_forever()\n";
    let service = serve(&node, "web", http);
    for (arguments, seen) in [
        (["-k", "https://web:8080/"], "a TLS handshake"),
        (
            ["--http2-prior-knowledge", "http://web:8080/"],
            "the preface of HTTP/2",
        ),
    ] {
        let head = node.head().unwrap();
        let output = curl(&node, &path, &arguments);
        assert_ne!(output.code, Some(0), "{output:?}");
        let record = node
            .wait_for_flow(|r| {
                r.seq >= head && r.kind == RecordKind::Operation && r.protocol == "http"
            })
            .unwrap();
        let reason = format!("service web speaks http, and its caller sent {seen}");
        assert_eq!((record.outcome, record.reason), (Outcome::Deny, reason));
    }
    assert!(!service.process.stderr().contains("GET"));
}

#[test]
fn openssl_and_python_talk_to_openssl_and_nginx() {
    let (node, path) = start();
    let mirror = [
        "openssl", "s_server", "-accept", "8443", "-cert", "cert.pem", "-key", "key.pem", "-rev",
    ];
    let _mirror = service(&node, &path, "mirror", ("nothing", ""), &mirror, "ACCEPT");
    let talk = |options: &str| {
        let script = format!(
            "(echo hello; sleep 2) | timeout 20 openssl s_client -connect mirror:8443 -CAfile cert.pem -verify_return_error -quiet -no_ign_eof {options}"
        );
        agent(&node, &path, &["sh", "-c", &script])
    };
    for options in [
        "-servername mirror",
        "-servername MIRROR",
        "-servername mirror -tls1_2",
    ] {
        let output = talk(options);
        assert!(output.stdout.contains("olleh"), "{options}: {output:?}");
    }
    for (options, reason) in [
        ("-noservername", "service mirror speaks tls: no server name"),
        (
            "-servername ledger",
            "server name ledger is not one of service mirror",
        ),
        (
            "-servername mirror.",
            "service mirror speaks tls: server name that is no host name",
        ),
        (
            "-servername mirror -tls1_1 -cipher DEFAULT@SECLEVEL=0",
            "service mirror speaks tls: TLS below 1.2",
        ),
    ] {
        let head = node.head().unwrap();
        let output = talk(options);
        assert!(!output.stdout.contains("olleh"), "{options}: {output:?}");
        let record = last(&node, head);
        assert_eq!(
            (record.outcome, record.reason.as_str()),
            (Outcome::Deny, reason),
            "{options}"
        );
    }

    let nginx = [
        "/usr/sbin/nginx",
        "-e",
        "stderr",
        "-p",
        ".",
        "-c",
        "nginx.conf",
    ];
    let path_front = workdir(&node, "work-front", "nginx.conf", NGINX);
    for part in ["cert.pem", "key.pem"] {
        std::fs::copy(path.join(part), path_front.join(part)).unwrap();
        node.host().own(&path_front.join(part)).unwrap();
    }
    let _front = node
        .workload("front")
        .workdir(&path_front)
        .spawn(&nginx)
        .unwrap();
    let python = r#"
import socket, ssl, sys, time
context = ssl.create_default_context(cafile="cert.pem")
context.set_alpn_protocols(["http/1.1"])
for _ in range(200):
    try:
        plain = socket.create_connection(("front", 8443), timeout=10)
        secure = context.wrap_socket(plain, server_hostname="front")
        break
    except OSError:
        time.sleep(0.05)
secure.sendall(b"GET /x HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n")
text = b""
while piece := secure.recv(4096):
    text += piece
print(secure.version(), secure.selected_alpn_protocol(), text.split(b"\r\n\r\n")[1].decode())
"#;
    let output = agent(&node, &path, &[PYTHON, "-c", python]).ok();
    assert_eq!(output.stdout.trim(), "TLSv1.3 http/1.1 HTTP/1.1 front /x");
    // What is agreed on inside is their own affair: here HTTP/2.
    let output = curl(&node, &path, &["--http2", "https://front:8443/y"]).ok();
    assert_eq!(output.stdout, "HTTP/2.0 front /y\n");
}
