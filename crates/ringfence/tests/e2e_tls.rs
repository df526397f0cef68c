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

/// Asks for a second ClientHello from whoever begins with another group than its own, and tells which names it is asked for.
const RETRYING: &str = r#"
import socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.set_ecdh_curve("secp384r1")
context.sni_callback = lambda _sock, name, _context: print("asked for", name, flush=True)
context.load_cert_chain("cert.pem", "key.pem")
listener = socket.create_server(("", 8443))
print("ledger is serving", flush=True)
while True:
    plain, _ = listener.accept()
    try:
        secure = context.wrap_socket(plain, server_side=True)
        secure.sendall(secure.recv(100)[::-1])
        secure.close()
    except OSError as error:
        print("broken", type(error).__name__, flush=True)
"#;

/// An honest TLS, but for the name in its second ClientHello. `ahead` sends that one before the service has asked for it.
const TURNCOAT: &str = r#"
import socket, ssl, sys
name, ahead = sys.argv[1], sys.argv[2] == "ahead"
def hellos(conn):
    context = ssl.create_default_context(cafile="cert.pem")
    inbound, outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = context.wrap_bio(inbound, outbound, server_hostname="ledger")
    for turn in range(8):
        try:
            secure.do_handshake()
            break
        except ssl.SSLWantReadError:
            pass
        flight = outbound.read()
        if turn > 0:
            flight = flight.replace(b"ledger", name.encode())
        conn.sendall(flight)
        heard = conn.recv(65536)
        if not heard:
            return "ended"
        print("heard", turn, flush=True)
        inbound.write(heard)
    conn.sendall(outbound.read())
    secure.write(b"hello")
    conn.sendall(outbound.read())
    while True:
        try:
            return secure.read(100).decode()
        except ssl.SSLWantReadError:
            inbound.write(conn.recv(65536))
with socket.create_connection(("ledger", 8443), timeout=20) as conn:
    try:
        if ahead:
            first = ssl.MemoryBIO()
            secure = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), first, server_hostname="ledger")
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                pass
            hello = first.read()
            conn.sendall(hello + hello.replace(b"ledger", name.encode()))
            while piece := conn.recv(65536):
                print("heard", len(piece), flush=True)
            print("said ended")
        else:
            print("said", hellos(conn))
    except ConnectionError as error:
        print("said", type(error).__name__)
"#;

/// OpenSSL takes the name of the second one, if one is asked for.
#[test]
fn a_second_hello_names_the_same_server_or_is_not_seen() {
    let (node, path) = start();
    let command = [PYTHON, "-u", "service.py"];
    let service = service(
        &node,
        &path,
        "ledger",
        ("service.py", RETRYING),
        &command,
        "is serving",
    );
    let turncoat = |name: &str, when: &str| {
        let output = agent(&node, &path, &[PYTHON, "-c", TURNCOAT, name, when]).ok();
        output.stdout.lines().last().unwrap_or_default().to_owned()
    };
    // Asked twice, and the same both times.
    assert_eq!(turncoat("ledger", "later"), "said olleh");
    let script = "(echo hello; sleep 2) | timeout 20 openssl s_client -connect ledger:8443 -servername ledger -groups X25519:P-384 \
                  -CAfile cert.pem -verify_return_error -quiet -no_ign_eof";
    let output = agent(&node, &path, &["sh", "-c", script]);
    assert!(output.stdout.contains("olleh"), "{output:?}");
    assert_eq!(
        service.process.stdout().matches("asked for ledger").count(),
        4
    );
    for when in ["later", "ahead"] {
        let head = node.head().unwrap();
        assert_eq!(turncoat("mirror", when), "said ConnectionResetError");
        let record = node
            .wait_for_flow(|r| {
                r.seq >= head && r.kind == RecordKind::Operation && r.outcome == Outcome::Deny
            })
            .unwrap();
        assert_eq!(
            record.reason,
            "service ledger speaks tls: second ClientHello with another server name"
        );
    }
    let told = service.process.stdout();
    assert!(!told.contains("mirror"), "{told}");
    assert_eq!(told.matches("asked for ledger").count(), 6, "{told}");
}

/// Early data (0-RTT) goes on with the hello that brings it, taken or not; and a session is no name to get in by.
#[test]
fn a_resumed_session_brings_early_data_and_gets_in_by_no_other_name() {
    let (node, path) = start();
    let serving = |options: &str| {
        format!(
            "sleep 600 | openssl s_server -accept 8443 -cert cert.pem -key key.pem -early_data -no_anti_replay {options}"
        )
    };
    let start = |name: &str, options: &str| {
        let command = serving(options);
        service(
            &node,
            &path,
            name,
            ("nothing", ""),
            &["sh", "-c", &command],
            "ACCEPT",
        )
    };
    let takes = start("mirror", "");
    // It asks for another hello, and so for the data again.
    let declines = start("front", "-groups P-384");
    std::fs::write(path.join("early"), "early words\n").unwrap();
    node.host().own(&path.join("early")).unwrap();
    let talk = |host: &str, name: &str, more: &str| {
        let script = format!(
            "(echo later words of {host}; sleep 2) | timeout 20 openssl s_client -connect {host}:8443 -servername {name} -groups X25519:P-384 {more} 2>&1"
        );
        agent(&node, &path, &["sh", "-c", &script]).stdout
    };
    for (host, answer) in [
        ("mirror", "Early data was accepted"),
        ("front", "Early data was rejected"),
    ] {
        let said = talk(host, host, &format!("-sess_out {host}.pem"));
        assert!(said.contains("TLSv1.3"), "{said}");
        let said = talk(
            host,
            host,
            &format!("-sess_in {host}.pem -early_data early"),
        );
        assert!(said.contains(answer), "{said}");
    }
    let head = node.head().unwrap();
    let said = talk("mirror", "ledger", "-sess_in mirror.pem -early_data early");
    assert!(!said.contains("Early data was accepted"), "{said}");
    let record = last(&node, head);
    assert_eq!(
        (record.outcome, record.reason.as_str()),
        (
            Outcome::Deny,
            "server name ledger is not one of service mirror"
        )
    );
    let (taken, declined) = (takes.process.stdout(), declines.process.stdout());
    assert_eq!(taken.matches("early words").count(), 1, "{taken}");
    assert_eq!(taken.matches("later words of mirror").count(), 2, "{taken}");
    assert!(!declined.contains("early words"), "{declined}");
    assert_eq!(
        declined.matches("later words of front").count(),
        2,
        "{declined}"
    );
}
