//! A neighbour of an attacker: it makes a request to a service every 20 ms, and tells how long each took.
//!
//! What comes in: a node whose configuration holds [`NEIGHBOUR_ESTATE`]. What goes out: a [`Phase`] for the time before an
//! attack and one for the time of it, which is held against the first of the same run. Absolute times would say something
//! about the machine; the comparison says whether the neighbour noticed.

use std::time::{Duration, Instant};

use crate::{Node, Running, TestbedError};

/// Service `shop`, which agent `neighbour` asks. To be added to a node's configuration as a file of its own.
pub const NEIGHBOUR_ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: shop }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: neighbour }
spec: { purpose: asks the shop and notes how long it takes }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: neighbour }
spec:
  agent: neighbour
  mode: enforce
  initiate:
    - service: shop
      operations: ["GET /**"]
"#;

const SHOP: &str = r#"
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"goods")

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

server = Server(("0.0.0.0", 8080), Handler)
print("shop is serving", flush=True)
server.serve_forever()
"#;

/// Every other request looks the name up and opens a connection, as a new client would; the others use one that is kept.
const ASKER: &str = r#"
import http.client, time

kept = http.client.HTTPConnection("shop", 8080, timeout=10)
number = 0
while True:
    began = time.monotonic()
    fresh = number % 2 == 0
    asked = http.client.HTTPConnection("shop", 8080, timeout=10) if fresh else kept
    trouble = ""
    try:
        asked.request("GET", f"/goods/{number}")
        answer = asked.getresponse()
        body = answer.read()
        if (answer.status, body) != (200, b"goods"):
            trouble = f"status {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        trouble = f"{type(error).__name__} {error}"
        kept.close()
    if fresh:
        asked.close()
    ended = time.monotonic()
    kind = "fresh" if fresh else "kept"
    print(int((ended - began) * 1e6), kind, trouble or "ok", flush=True)
    number += 1
    time.sleep(max(0, began + 0.02 - ended))
"#;

const PYTHON: &str = "/usr/bin/python3";
/// Requests of a phase, at least.
const REQUESTS: usize = 100;
/// Requests before the first phase, which find caches cold.
const WARM_UP: usize = 20;
/// For the requests of one phase.
const WITHIN: Duration = Duration::from_secs(120);

/// How many times as long as when it was calm the middle request may take, and the slowest one.
const MEDIAN_FACTOR: u32 = 12;
const WORST_FACTOR: u32 = 25;
/// A calm phase that was faster than this counts as this: below it, the machine's other work decides.
const MEDIAN_LEAST: Duration = Duration::from_millis(4);
const WORST_LEAST: Duration = Duration::from_millis(40);

/// The neighbour with its service, both in compartments of their own.
pub struct Neighbour<'n> {
    node: &'n Node,
    asker: Running,
    shop: Running,
}

impl<'n> Neighbour<'n> {
    /// Starts both, and waits until requests are answered.
    pub fn start(node: &'n Node) -> Result<Self, TestbedError> {
        let start = |name: &str, program: &str| {
            let work = node.host().directory(&format!("work-{name}"))?;
            let file = work.join("program.py");
            std::fs::write(&file, program).map_err(TestbedError::io(file.display().to_string()))?;
            node.host().own(&file)?;
            let launch = node.workload(name).workdir(&work);
            launch.spawn(&[PYTHON, "-u", "program.py"])
        };
        let mut shop = start("shop", SHOP)?;
        shop.wait_until_it_says("shop is serving")?;
        let neighbour = Self {
            node,
            asker: start("neighbour", ASKER)?,
            shop,
        };
        neighbour.await_requests(WARM_UP)?;
        Ok(neighbour)
    }

    /// The launcher's pid of the neighbour's service, within the host.
    pub fn shop_pid(&self) -> u32 {
        self.shop.pid
    }

    /// Watches while nothing else happens.
    pub fn calm(&self) -> Result<Phase, TestbedError> {
        self.during(|| ()).map(|((), phase)| phase)
    }

    /// Watches from the beginning of `attack` until it has returned and enough requests were made. What it returns lives
    /// until then: an attacker that goes on by itself is to be part of it.
    pub fn during<T>(&self, attack: impl FnOnce() -> T) -> Result<(T, Phase), TestbedError> {
        let first = self.requests().len();
        let kept = attack();
        // The one under way now is part of it, and the one after it saw nothing else.
        let last = self.requests().len() + 2;
        self.await_requests(last.max(first + REQUESTS))?;
        let phase = Phase {
            requests: self.requests().split_off(first),
        };
        Ok((kept, phase))
    }

    fn requests(&self) -> Vec<Request> {
        let said = self.asker.process.stdout();
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        whole.lines().filter_map(Request::parse).collect()
    }

    fn await_requests(&self, number: usize) -> Result<(), TestbedError> {
        let deadline = Instant::now() + WITHIN;
        while self.requests().len() < number {
            if Instant::now() > deadline {
                return Err(TestbedError::Late {
                    what: format!("the neighbour made no {number} requests"),
                    seconds: WITHIN.as_secs(),
                    said: format!(
                        "{}\n{}\n{}",
                        self.asker.process.stdout(),
                        self.asker.process.stderr(),
                        self.node.messages()
                    ),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// One request of the neighbour.
#[derive(Clone, Debug)]
struct Request {
    took: Duration,
    fresh: bool,
    trouble: Option<String>,
}

impl Request {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let took = Duration::from_micros(words.next()?.parse().ok()?);
        let fresh = words.next()? == "fresh";
        let trouble = words.next()?;
        Some(Self {
            took,
            fresh,
            trouble: (trouble != "ok").then(|| trouble.to_owned()),
        })
    }
}

/// What the neighbour saw in one stretch of time.
#[derive(Clone, Debug)]
pub struct Phase {
    requests: Vec<Request>,
}

impl Phase {
    /// How many requests were made.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether none was made.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// What went wrong, one text for each request that was not answered as it should be.
    pub fn failures(&self) -> Vec<&str> {
        let troubles = self.requests.iter().map(|one| one.trouble.as_deref());
        troubles.flatten().collect()
    }

    /// The time of the request in the middle.
    pub fn median(&self) -> Duration {
        self.at(self.requests.len() / 2)
    }

    /// The time of the slowest request.
    pub fn worst(&self) -> Duration {
        self.at(self.requests.len().saturating_sub(1))
    }

    fn at(&self, index: usize) -> Duration {
        let mut times: Vec<_> = self.requests.iter().map(|one| one.took).collect();
        times.sort_unstable();
        times.get(index).copied().unwrap_or_default()
    }

    /// Whether the neighbour noticed what happened in this phase, held against a calm one of the same run: `Err` says how.
    pub fn held_against(&self, calm: &Self) -> Result<(), String> {
        self.held_against_slowed(calm, 1.0)
    }

    /// The same, where the machine's other work slowed the node so many times meanwhile
    /// ([`crate::Vitals::slowed_since`]).
    pub fn held_against_slowed(&self, calm: &Self, slowed: f64) -> Result<(), String> {
        let wrong = self.failures();
        if let Some(first) = wrong.first() {
            let count = wrong.len();
            return Err(format!(
                "{count} requests of the neighbour failed, the first by: {first}; {self}"
            ));
        }
        let median = (calm.median().max(MEDIAN_LEAST) * MEDIAN_FACTOR).mul_f64(slowed);
        let worst = (calm.worst().max(WORST_LEAST) * WORST_FACTOR).mul_f64(slowed);
        if self.median() > median {
            return Err(format!(
                "the neighbour's middle request took over {median:?}: {self}; calm: {calm}"
            ));
        }
        if self.worst() > worst {
            return Err(format!(
                "the neighbour's slowest request took over {worst:?}: {self}; calm: {calm}"
            ));
        }
        Ok(())
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fresh = self.requests.iter().filter(|one| one.fresh).count();
        write!(
            f,
            "{} requests ({fresh} on fresh connections), {} failed, median {:?}, worst {:?}",
            self.len(),
            self.failures().len(),
            self.median(),
            self.worst()
        )
    }
}
