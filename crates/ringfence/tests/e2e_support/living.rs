//! Two agents that keep one of everything alive with services of every kind: see `live.py`.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringfence_testbed::{Node, NodeOptions};
use serde_json::{Value, json};

use crate::e2e_support::{BINARY, PYTHON, Puppet, workdir};

const LIVE: &str = include_str!("live.py");

/// Each service, and what agents keep alive with it.
pub(crate) const SERVICES: [(&str, &[&str]); 7] = [
    ("cache", &["tcp", "bulk", "idle"]),
    ("ledger", &["tls"]),
    ("echo", &["udp"]),
    ("page", &["http", "events"]),
    ("shop", &["h2"]),
    ("orders", &["grpc"]),
    ("talk", &["websocket"]),
];
/// TCP connections and flows of datagrams of one agent.
pub(crate) const CONNECTIONS: u64 = 9;
pub(crate) const FLOWS: u64 = 1;
/// What has arrived before a cut is read within this.
pub(crate) const SETTLED: Duration = Duration::from_millis(300);
/// Everything that lives says something within this.
const BEATS_WITHIN: Duration = Duration::from_secs(60);

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: cache }
spec: { protocol: tcp, port: 6379 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: ledger }
spec: { protocol: tls, port: 8443 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: echo }
spec: { protocol: udp, port: 7007 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: page }
spec: { protocol: http, port: 8081 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: shop }
spec: { protocol: http2, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: orders }
spec: { protocol: grpc, port: 9000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: talk }
spec: { protocol: http, port: 8080 }
";

/// All that agents keep alive.
pub(crate) const EVERYTHING: &str = "
    - { service: cache, operations: [connect] }
    - { service: ledger, operations: [connect] }
    - { service: echo, operations: [send] }
    - { service: page, operations: [\"GET /**\"] }
    - { service: shop, operations: [\"POST /pulse\"] }
    - { service: orders, operations: [shop.v1.Orders/Chat] }
    - { service: talk, operations: [\"WEBSOCKET /pulse\"] }
";

/// A policy that is not enforced yet.
pub(crate) fn soft(mode: &str) -> String {
    let until = jiff::Zoned::now()
        .date()
        .checked_add(jiff::Span::new().days(7));
    format!("mode: {mode}\n  until: {}", until.unwrap())
}

/// What one agent has alive: kind, how often it has been answered, and how it has ended.
pub(crate) type Report = BTreeMap<String, (u64, Option<String>)>;

/// How many bytes each service has heard of each agent.
pub(crate) type Heard = BTreeMap<&'static str, u64>;

/// All of them.
pub(crate) struct Scene {
    // Ended in this order.
    pub(crate) agent: Puppet,
    pub(crate) other: Puppet,
    services: BTreeMap<&'static str, Puppet>,
    addresses: [String; 2],
    pub(crate) node: Node,
}

fn puppet(node: &Node, name: &str, role: Option<&str>) -> Puppet {
    let path = workdir(node, &format!("work-{name}"), "live.py", LIVE);
    if role == Some("ledger") {
        let script = "cd $0 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ledger \
                      -out cert.pem -keyout key.pem";
        let made = node
            .host()
            .run(["sh", "-c", script, path.to_str().unwrap()]);
        made.unwrap().ok();
    }
    let launch = node.workload(name).workdir(&path).open_stdin();
    let command = [PYTHON, "-u", "live.py"];
    let mut running = launch.spawn(&[&command, role.as_slice()].concat()).unwrap();
    running.wait_until_it_says("ready").unwrap();
    Puppet::of(running)
}

impl Scene {
    /// With the policies of `agent` and `other`.
    pub(crate) fn new(agent: &str, other: &str) -> Self {
        let options = NodeOptions::new(BINARY)
            .file("estate.yaml", ESTATE)
            .file("agent.yaml", agent)
            .file("other.yaml", other);
        let node = options.start().unwrap();
        let services = SERVICES.map(|(name, _)| (name, puppet(&node, name, Some(name))));
        let (mut agent, mut other) = (puppet(&node, "agent", None), puppet(&node, "other", None));
        let address = |puppet: &mut Puppet, name: &str| {
            let told = puppet.tell(json!(["own_address", name]));
            told["address"].as_str().unwrap().to_owned()
        };
        let addresses = [address(&mut agent, "agent"), address(&mut other, "other")];
        Self {
            agent,
            other,
            services: services.into(),
            addresses,
            node,
        }
    }

    /// What each service has heard of `agent`, and of `other`.
    pub(crate) fn heard(&mut self) -> [Heard; 2] {
        let mut heard = [Heard::new(), Heard::new()];
        for (name, service) in &mut self.services {
            let told = service.tell(json!(["heard_of"]));
            for (of, address) in heard.iter_mut().zip(&self.addresses) {
                of.insert(name, told[address].as_u64().unwrap_or(0));
            }
        }
        heard
    }

    /// Runs a verb, which must exit with `code`; its JSON.
    pub(crate) fn verb(&self, code: i32, verb: &str, words: &[&str]) -> Value {
        let output = self.node.verb(verb, &[&["-o", "json"], words].concat());
        let output = output.unwrap();
        assert_eq!(
            output.code,
            Some(code),
            "{}{}",
            output.stdout,
            output.stderr
        );
        serde_json::from_str(&output.stdout).unwrap()
    }

    pub(crate) fn quarantine(&self, name: &str) -> Value {
        self.verb(0, "quarantine", &[name, "--reason", "odd"])
    }

    pub(crate) fn release(&self, name: &str) {
        self.verb(0, "release", &[name, "--reason", "false alarm"]);
    }
}

/// What `puppet` has alive.
pub(crate) fn report(puppet: &mut Puppet) -> Report {
    let told = puppet.tell(json!(["report"]));
    let told = told.as_object().unwrap().iter();
    told.map(|(kind, told)| {
        let ended = told["ended"].as_str().map(str::to_owned);
        (kind.clone(), (told["beats"].as_u64().unwrap(), ended))
    })
    .collect()
}

/// Opens one of each of `kinds`, and waits until all have been answered.
pub(crate) fn begin(puppet: &mut Puppet, kinds: &[&str]) {
    puppet.tell(json!(["begin", kinds]));
    let before: Report = kinds
        .iter()
        .map(|kind| ((*kind).to_owned(), (0, None)))
        .collect();
    goes_on(puppet, &before, kinds);
}

/// All of `kinds` live, and each is answered more often than `before`; but for one that is idle.
pub(crate) fn goes_on(puppet: &mut Puppet, before: &Report, kinds: &[&str]) {
    let deadline = Instant::now() + BEATS_WITHIN;
    loop {
        let now = report(puppet);
        let (mut ended, mut still) = (Vec::new(), Vec::new());
        for kind in kinds {
            let (beats, end) = &now[*kind];
            if let Some(end) = end {
                ended.push((kind, end));
            }
            if before[*kind].0 >= *beats && (*kind != "idle" || *beats == 0) {
                still.push(kind);
            }
        }
        assert!(ended.is_empty(), "ended: {ended:?}");
        if still.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "not answered: {still:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// None of `kinds` is answered any more, and whoever can know it has been told that it has ended.
pub(crate) fn is_over(puppet: &mut Puppet, before: &Report, kinds: &[&str]) {
    let now = report(puppet);
    for kind in kinds {
        let (beats, ended) = &now[*kind];
        assert_eq!(*beats, before[*kind].0, "{kind} is answered");
        assert!(ended.is_some() || *kind == "udp", "{kind} has not ended");
    }
}

/// All kinds.
pub(crate) fn all() -> Vec<&'static str> {
    SERVICES
        .iter()
        .flat_map(|(_, kinds)| kinds.iter().copied())
        .collect()
}

/// Whether each of `kinds` can be opened now: all of them, or none.
pub(crate) fn opens(puppet: &mut Puppet, kinds: &[&str]) -> bool {
    let told = puppet.tell(json!(["fresh", kinds]));
    let told: Vec<bool> = kinds
        .iter()
        .map(|kind| told[*kind].as_bool().unwrap())
        .collect();
    assert!(
        told.iter().all(|one| *one == told[0]),
        "{kinds:?}: {told:?}"
    );
    told[0]
}

/// Whether all of `wanted` have addresses: all of them, or none.
pub(crate) fn resolves(puppet: &mut Puppet, wanted: &[&str]) -> bool {
    let told = puppet.tell(json!(["names", wanted]));
    let first = told[wanted[0]].as_bool();
    for name in wanted {
        assert_eq!(told[*name].as_bool(), first, "{name}: {told}");
    }
    first.unwrap()
}
