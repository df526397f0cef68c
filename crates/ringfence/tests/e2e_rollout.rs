//! The way from a guess to a policy that is enforced, as examples/rollout tells it, with its files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::path::PathBuf;

use e2e_support::{BINARY, PUPPET, PYTHON, Puppet, serve, workdir};
use ringfence_testbed::{Node, NodeOptions};
use serde_json::{Value, json};

const WEB: &str = r#"
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def answer(self):
        self.send_response(200); self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"ok")
    do_GET = do_POST = do_DELETE = answer
    def log_message(self, *_): print(self.command, self.path, flush=True)
class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
server = Server(("::", 8080), Handler)
print("web is serving", flush=True)
server.serve_forever()
"#;

fn example(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/rollout");
    std::fs::read_to_string(root.join(name)).unwrap()
}

/// What the agent does, and what it is answered.
fn work(puppet: &mut Puppet) -> Vec<Value> {
    let does = [
        ("GET", "/figures/7", "sales"),
        ("GET", "/regions", "sales"),
        ("POST", "/outbox", "mailer"),
        ("DELETE", "/figures/7", "sales"),
    ];
    let ask = |(method, path, host)| {
        let told = puppet.tell(json!(["get", method, path, host]));
        told["status"].clone()
    };
    does.map(ask).to_vec()
}

fn observed(node: &Node, verdict: &str) -> String {
    node.verb("observe", &["--verdict", verdict, "-o", "json"])
        .unwrap()
        .ok()
        .stdout
}

fn operations(lines: &str) -> Vec<String> {
    let records = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of = |kind: &str, record: &Value| record["kind"] == kind && record["protocol"] == "http";
    let mut found: Vec<String> = records
        .filter(|record| of("operation", record))
        .map(|record| {
            format!(
                "{} {}",
                record["destination"].as_str().unwrap(),
                record["operation"].as_str().unwrap()
            )
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_policy_is_tried_mended_by_what_it_would_have_refused_and_enforced() {
    let until = jiff::Zoned::now()
        .date()
        .checked_add(jiff::Span::new().days(14))
        .unwrap();
    let guess = example("reporter.shadow.template").replace("UNTIL", &until.to_string());
    let node = NodeOptions::new(BINARY)
        .file("services.yaml", &example("estate/services.yaml"))
        .file("reporter.yaml", &guess)
        .start()
        .unwrap();
    let (sales, mailer) = (serve(&node, "sales", WEB), serve(&node, "mailer", WEB));
    let path = workdir(&node, "work-reporter", "puppet.py", PUPPET);
    let launch = node.workload("reporter").workdir(&path).open_stdin();
    let mut running = launch.spawn(&[PYTHON, "-u", "puppet.py"]).unwrap();
    running.wait_until_it_says("ready").unwrap();
    let mut reporter = Puppet::of(running);

    // Tried: everything passes, and status says that it is not enforced.
    assert_eq!(work(&mut reporter), [200, 200, 200, 200]);
    let (_, status) = node.status().unwrap();
    let mode = status["estate"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "reporter");
    assert_eq!(
        (&mode.unwrap()["mode"], &mode.unwrap()["modeUntil"]),
        (&json!("shadow"), &json!(until.to_string()))
    );
    let would = observed(&node, "would-deny");
    assert_eq!(
        operations(&would),
        [
            "mailer POST /outbox",
            "sales DELETE /figures/7",
            "sales GET /regions"
        ]
    );
    assert!(
        would.contains("no rule of policy reporter for service sales allows GET /regions"),
        "{would}"
    );

    // What the next version would make of the same traffic.
    let new = node.host().directory("new").unwrap();
    for (name, text) in [
        ("services.yaml", example("estate/services.yaml")),
        ("reporter.yaml", example("reporter.yaml")),
    ] {
        std::fs::write(new.join(name), text).unwrap();
        node.host().own(&new.join(name)).unwrap();
    }
    let seen = new.join("seen.jsonl");
    std::fs::write(&seen, &would).unwrap();
    node.host().own(&seen).unwrap();
    let (new, seen) = (new.display().to_string(), seen.display().to_string());
    let asked = [
        BINARY, "policy", "explain", "--config", &new, "--batch", &seen,
    ];
    let answers = node.host().run(asked).unwrap().ok().stdout;
    let denied: Vec<Value> = answers
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|answer| answer["outcome"] == "deny")
        .collect();
    assert_eq!(denied.len(), 1, "{answers}");
    assert_eq!(denied[0]["op"], "DELETE /figures/7");

    // Enforced.
    node.reload("reporter.yaml", &example("reporter.yaml"))
        .unwrap();
    let before = sales.process.stdout().matches("DELETE").count();
    assert_eq!(
        work(&mut reporter),
        [json!(200), json!(200), json!(200), json!(403)]
    );
    assert_eq!(sales.process.stdout().matches("DELETE").count(), before);
    assert_eq!(
        operations(&observed(&node, "deny")),
        ["sales DELETE /figures/7"]
    );
    assert_eq!(observed(&node, "would-deny"), would, "nothing new");
    drop(mailer);
}
