//! What monitors read: it agrees with the log, an independent parser accepts it, and only this host can ask.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;
#[path = "node_cli/place.rs"]
#[allow(
    dead_code,
    reason = "shared with node_cli.rs, which uses the rest of it"
)]
mod place;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e_support::{PYTHON, Puppet, cache, options, vault, web};
use place::{PATIENCE, Place, RINGFENCE, kill};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::Node;
use serde_json::json;

const PORT: &str = "127.0.0.1:9464";

/// Reads the page with the Python client's parsers, which share nothing with what wrote it, and prints every sample.
const PARSE: &str = "\
import json, sys
if sys.argv[1] == 'openmetrics':
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        print(json.dumps([family.type, bool(family.documentation), sample.name, sample.labels, sample.value]))
";

struct Sample {
    kind: String,
    explained: bool,
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn parse(format: &str, page: &str) -> Vec<Sample> {
    let mut python = Command::new(PYTHON)
        .args(["-c", PARSE, format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{format}: {page}");
    let read = |line: &str| {
        let (kind, explained, name, labels, value) = serde_json::from_str(line).unwrap();
        Sample {
            kind,
            explained,
            name,
            labels,
            value,
        }
    };
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(read)
        .collect()
}

/// The sum of all samples called `name` whose labels include `with`.
fn sum(samples: &[Sample], name: &str, with: &[(&str, &str)]) -> f64 {
    let fits = |sample: &&Sample| {
        let has = |(label, value): &(&str, &str)| {
            sample
                .labels
                .get(*label)
                .is_some_and(|found| found == value)
        };
        sample.name == name && with.iter().all(has)
    };
    samples.iter().filter(fits).map(|sample| sample.value).sum()
}

fn scrape(node: &Node, more: &[&str]) -> String {
    let url = format!("http://{PORT}/metrics");
    let mut words = vec!["curl", "-sS", "--fail", "--max-time", "10"];
    words.extend(more);
    words.push(&url);
    node.host().run_as_root(words).unwrap().ok().stdout
}

fn protocol(record: &FlowRecord) -> &str {
    match record.protocol.as_str() {
        known @ ("http" | "http2" | "grpc" | "tls" | "tcp" | "udp" | "dns") => known,
        _ => "other",
    }
}

/// What monitors must see: attempts by kind, protocol and outcome.
fn logged(flows: &[FlowRecord]) -> BTreeMap<(String, String, String), u64> {
    let mut all = BTreeMap::new();
    for record in flows {
        let kind = match record.kind {
            RecordKind::Connection => "connection",
            RecordKind::Operation => "operation",
            RecordKind::Wall => "wall",
            _ => continue,
        };
        let outcome = match record.outcome {
            Outcome::Allow => "allow",
            Outcome::Deny => "deny",
            Outcome::WouldDeny => "would-deny",
            _ => "error",
        };
        let key = (kind.into(), protocol(record).into(), outcome.into());
        *all.entry(key).or_default() += record.count;
    }
    all
}

fn counted(samples: &[Sample]) -> BTreeMap<(String, String, String), u64> {
    let mut all = BTreeMap::new();
    for sample in samples
        .iter()
        .filter(|sample| sample.name == "ringfence_decisions_total")
    {
        let label = |name: &str| sample.labels[name].clone();
        let key = (label("kind"), label("protocol"), label("outcome"));
        *all.entry(key).or_default() += sample.value as u64;
    }
    all
}

#[test]
fn counters_agree_with_the_log_and_a_foreign_parser_accepts_them() {
    let node = options()
        .up_arguments(&["--metrics", PORT])
        .start()
        .unwrap();
    let (_web, _vault, _cache) = (web(&node), vault(&node), cache(&node));
    let mut agent = Puppet::start(&node);
    for number in 0..5 {
        agent.tell(json!(["get", "GET", format!("/items/{number}")]));
    }
    for _ in 0..3 {
        agent.tell(json!(["get", "DELETE", "/items/1"]));
    }
    agent.tell(json!(["get", "GET", "/a/../b"]));
    agent.tell(json!(["get", "GET", "/", "vault"]));
    agent.tell(json!(["get", "GET", "/", "no-such-name"]));
    agent.tell(json!(["tcp", "cache", 6379, 4, "some payload"]));
    // Beyond what is recorded one by one: folded, and each counted.
    agent.tell(json!(["tcp", "10.1.2.3", 80, 130]));
    agent.tell(json!(["udp", "10.1.2.3", 99, 130]));
    let samples = node
        .await_that("counters that agree with the log", |node| {
            let samples = parse("prometheus", &scrape(node, &[]));
            let flows = node.flows()?;
            let head = flows.last().map_or(0, |last| last.seq + 1);
            let same = sum(&samples, "ringfence_log_head", &[]) as u64 == head
                && counted(&samples) == logged(&flows);
            // Everything folded has been written by then.
            let whole = |protocol: &str| {
                let of = flows.iter().filter(|r| {
                    r.protocol == protocol && r.original_destination.starts_with("10.1.2.3")
                });
                of.map(|r| r.count).sum::<u64>() >= 130
            };
            Ok((same && whole("tcp") && whole("udp")).then_some(samples))
        })
        .unwrap();

    let flows = node.flows().unwrap();
    let count = |name: &str, with: &[(&str, &str)]| sum(&samples, name, with) as u64;
    let decisions = "ringfence_decisions_total";
    assert_eq!(
        count(
            decisions,
            &[("reason", "operation-not-initiated"), ("kind", "operation")]
        ),
        3
    );
    assert_eq!(count(decisions, &[("reason", "malformed")]), 1);
    assert!(
        count(
            decisions,
            &[("reason", "unknown-destination"), ("protocol", "tcp")]
        ) >= 130
    );
    assert!(count(decisions, &[("reason", "unknown-name")]) >= 1);
    assert_eq!(
        count(
            decisions,
            &[
                ("protocol", "http"),
                ("outcome", "allow"),
                ("kind", "operation")
            ]
        ),
        5
    );

    let closes: Vec<_> = flows
        .iter()
        .filter(|record| record.kind == RecordKind::Close)
        .collect();
    assert!(!closes.is_empty());
    assert_eq!(
        count("ringfence_connections_closed_total", &[]),
        closes.len() as u64
    );
    let let_in = flows
        .iter()
        .filter(|r| r.kind == RecordKind::Connection && r.outcome == Outcome::Allow);
    assert_eq!(
        count("ringfence_connections_opened_total", &[]),
        let_in.count() as u64
    );
    assert_eq!(count("ringfence_connections_open", &[]), 0);
    let of = |pick: fn(&FlowRecord) -> u64| {
        let relayed = closes.iter().filter(|record| record.protocol != "dns");
        relayed.map(|record| pick(record)).sum::<u64>()
    };
    assert_eq!(
        count("ringfence_relayed_bytes_total", &[("direction", "sent")]),
        of(|record| record.bytes_sent)
    );
    assert_eq!(
        count(
            "ringfence_relayed_bytes_total",
            &[("direction", "received")]
        ),
        of(|record| record.bytes_received)
    );
    let dns = flows
        .iter()
        .filter(|r| r.kind == RecordKind::Operation && r.protocol == "dns");
    assert_eq!(
        count("ringfence_dns_queries_total", &[]),
        dns.map(|r| r.count).sum::<u64>()
    );
    assert!(count("ringfence_dns_queries_total", &[("result", "nxdomain")]) >= 2);

    assert_eq!(count("ringfence_http_request_delay_seconds_count", &[]), 5);
    assert!(count("ringfence_decision_duration_seconds_count", &[]) >= 8);
    assert_eq!(
        count("ringfence_log_append_duration_seconds_count", &[]),
        flows.len() as u64
    );
    let seconds = sum(&samples, "ringfence_http_request_delay_seconds_sum", &[]);
    assert!(seconds > 0.0 && seconds < 60.0, "{seconds}");
    assert_eq!(count("ringfence_instances", &[("kind", "service")]), 3);
    assert_eq!(count("ringfence_compartments_armed", &[]), 4);
    assert_eq!(count("ringfence_enforcer_up", &[]), 1);
    assert_eq!(count("ringfence_log_accepting", &[]), 1);
    assert!(count("ringfence_log_free_bytes", &[]) > 0);
    assert!(count("process_resident_memory_bytes", &[]) > 1_000_000);
    assert!(count("ringfence_enforcer_resident_memory_bytes", &[]) > 1_000_000);

    let manual = include_str!("../../../docs/metrics.md");
    for sample in &samples {
        assert!(
            sample.explained && sample.kind != "unknown",
            "{}",
            sample.name
        );
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            sample
                .name
                .strip_suffix(end)
                .filter(|_| sample.kind == "histogram")
        });
        let family = family.unwrap_or(&sample.name);
        assert!(
            manual.contains(&format!("`{family}`")),
            "{family} is not in docs/metrics.md"
        );
        for (label, value) in &sample.labels {
            let named = ["agent", "web", "vault", "cache"].contains(&value.as_str());
            assert!(
                !named || label == "kind",
                "{}: {label} names a workload",
                sample.name
            );
        }
    }
    let open = scrape(
        &node,
        &["-H", "Accept: application/openmetrics-text; version=1.0.0"],
    );
    assert!(open.ends_with("# EOF\n"), "{open}");
    assert_eq!(
        parse("openmetrics", &open).len(),
        parse("prometheus", &scrape(&node, &[])).len()
    );
}

#[test]
fn a_node_that_takes_over_serves_on_the_same_port_and_not_when_it_cannot() {
    let mut node = options()
        .up_arguments(&["--metrics", PORT])
        .start()
        .unwrap();
    let started = |page: &str| {
        let samples = parse("prometheus", page);
        sum(&samples, "process_start_time_seconds", &[])
    };
    let before = started(&scrape(&node, &[]));
    let (process, pid_file) = node.start_up(&["--takeover"]).unwrap();
    node.serves(process, &pid_file).unwrap();
    assert!(started(&scrape(&node, &[])) > before);

    // A port that is somebody else's: the node that runs does not end for one that could not do as it is told.
    let node = options().start().unwrap();
    let other = "import socket, time; s = socket.create_server(('127.0.0.1', 9464)); print('mine', flush=True); time.sleep(600)";
    let other = node.host().start_as_root([PYTHON, "-c", other]).unwrap();
    other.wait_stdout("mine", PATIENCE).unwrap();
    let (mut process, _) = node.start_up(&["--takeover", "--metrics", PORT]).unwrap();
    let output = process.wait(PATIENCE).unwrap();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains(PORT) && output.stderr.contains("left alone"),
        "{output:?}"
    );
    assert_eq!(node.status().unwrap().0, 0);
}

#[test]
fn a_workload_cannot_reach_the_port() {
    let node = options()
        .up_arguments(&["--metrics", PORT])
        .start()
        .unwrap();
    assert!(scrape(&node, &[]).contains("ringfence_enforcer_up 1"));
    let url = format!("http://{PORT}/metrics");
    let output = node
        .run("agent", &["curl", "-sS", "--max-time", "5", &url])
        .unwrap();
    // 7: could not connect. Its loopback is its own.
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(7), ""),
        "{output:?}"
    );
}

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: {}
";

fn up(place: &Place, more: &[&str]) -> std::process::Child {
    Command::new(RINGFENCE)
        .arg("up")
        .arg("--config")
        .arg(place.config())
        .arg("--state")
        .arg(place.state())
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A node that must not start: one that does is ended.
fn refused(mut node: std::process::Child) -> std::process::Output {
    let deadline = Instant::now() + PATIENCE;
    while node.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            node.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    node.wait_with_output().unwrap()
}

fn metrics_socket(place: &Place) -> PathBuf {
    place.status().1["metrics"][0].as_str().unwrap().into()
}

fn ask(mut stream: impl Read + Write, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn an_address_that_others_could_reach_is_refused() {
    let place = Place::new(ESTATE);
    for address in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "9464"] {
        let output = refused(up(&place, &["--metrics", address]));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{address}: {said}");
        assert!(said.contains("127.0.0.1:PORT"), "{address}: {said}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = refused(up(&place, &["--metrics", &address]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&address) && said.contains("--metrics"),
        "{said}"
    );
}

#[test]
fn only_the_page_is_served_and_only_to_whom_names_this_host() {
    let place = Place::new(ESTATE);
    let node = place.serving(up(&place, &["--metrics", "127.0.0.1:0"]));
    let socket = metrics_socket(&place);
    let url = place.status().1["metrics"][1].as_str().unwrap().to_owned();
    let address = url
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/metrics"))
        .unwrap()
        .to_owned();
    let unix = |request: &str| ask(UnixStream::connect(&socket).unwrap(), request.as_bytes());
    let tcp = |request: &str| ask(TcpStream::connect(&address).unwrap(), request.as_bytes());
    let long = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}",
        "a".repeat(9000)
    );
    for (request, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: anything\r\n\r\n", "200"),
        ("GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n", "200"),
        ("GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        ("GET /metrics\r\n\r\n", "400"),
        ("\x16\x03\x01 hello", "400"),
        (long.as_str(), "431"),
    ] {
        let answer = unix(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
    }
    let named = |host: &str| tcp(&format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    for host in [address.as_str(), "localhost", "127.0.0.1"] {
        assert!(named(host).starts_with("HTTP/1.1 200 "), "{host}");
    }
    for host in ["rebound.example:80", "192.0.2.1"] {
        assert!(named(host).starts_with("HTTP/1.1 421 "), "{host}");
    }
    assert_eq!(
        socket.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    node.signal("-TERM");
    node.end();
    assert!(!socket.exists());
}

#[test]
fn a_group_may_be_given_the_socket_by_a_node_of_root() {
    let place = Place::new(ESTATE);
    let mut node = up(&place, &["--metrics-gid", "54321"]);
    if !is_root() {
        let output = node.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("--metrics-gid"), "{said}");
        return;
    }
    let serving = place.serving({
        let child = std::mem::replace(&mut node, Command::new("true").spawn().unwrap());
        node.wait().unwrap();
        child
    });
    let found = metrics_socket(&place).metadata().unwrap();
    assert_eq!(
        (found.gid(), found.permissions().mode() & 0o777),
        (54321, 0o660)
    );
    drop(serving);
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn monitors_that_say_nothing_hold_up_neither_the_node_nor_others_for_long() {
    let place = Place::new(ESTATE);
    let _node = place.up();
    let socket = metrics_socket(&place);
    let silent: Vec<_> = (0..20)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    // More than there are places: the node itself answers all the while.
    let began = Instant::now();
    assert_eq!(place.status().0, 0);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut answer = String::new();
        // Closed at once while all places are taken.
        let _ = stream.write_all(request);
        let _ = stream.read_to_string(&mut answer);
        if answer.starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(silent);
}

#[test]
fn without_an_enforcer_that_answers_the_page_comes_all_the_same_and_says_so() {
    let place = Place::new(ESTATE);
    let node = place.up();
    let socket = metrics_socket(&place);
    let page = || {
        let began = Instant::now();
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        let page = ask(UnixStream::connect(&socket).unwrap(), request);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        page
    };
    let until = |what: &str, holds: &dyn Fn(&str) -> bool| {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let page = page();
            if holds(&page) {
                return page;
            }
            assert!(Instant::now() < deadline, "{what}: {page}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let enforcer = node.enforcer();
    until("its counters", &|page| {
        page.contains("ringfence_connections_open{")
    });
    let stopped = Command::new("kill")
        .args(["-STOP", &enforcer.to_string()])
        .status();
    assert!(stopped.unwrap().success());
    until("hung", &|page| page.contains("\nringfence_enforcer_up 0"));
    kill(enforcer);
    let page = until("replaced", &|page| {
        page.contains("\nringfence_enforcer_up 1")
            && page.contains("\nringfence_enforcer_restarts_total 1\n")
    });
    assert!(page.contains("\nringfence_degraded_reasons 0"), "{page}");
}
