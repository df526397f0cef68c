//! An agent, a web service that says what it was sent, and what policy is between them: for tests that vary policy.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_model::Kind as WorkloadKind;
use ringfence_model::flow::{Flow, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// Heads and bodies that reached a web service.
pub(super) type Reached = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// How long a test waits for what must happen.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// `web` (HTTP) and `echo` (opaque), with agent `agent`. By name, so by address: `agent` 1, `echo` 2, `web` 3.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) home: Arc<Compartment>,
    /// Where the web service runs.
    pub(super) service: Arc<Compartment>,
    ports: (u16, u16),
    /// Heads and bodies that reached the web service.
    pub(super) reached: Reached,
    generation: u64,
}

impl Stage {
    /// `policy`: further lines of the agent's policy, indented by two; `more`: further documents.
    pub(super) async fn new(policy: &str, more: &str) -> Self {
        let ((web, web_port), (echo, echo_port)) = (listener().await, listener().await);
        let ports = (web_port, echo_port);
        let world = World::new(&estate_of(ports, policy, more));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let service = world.running("web");
        world.running("echo");
        let reached = Reached::default();
        tokio::spawn(serve(web, Arc::clone(&reached)));
        tokio::spawn(serve_opaque(echo));
        Self {
            world,
            home,
            service,
            ports,
            reached,
            generation: 1,
        }
    }

    /// Puts another generation in force.
    pub(super) fn load(&mut self, policy: &str, more: &str) {
        self.generation += 1;
        self.world
            .load(self.generation, &estate_of(self.ports, policy, more));
    }

    /// A connection to the web service's door.
    pub(super) async fn web(&self) -> Client {
        self.client(self.world.at(3, self.ports.0)).await
    }

    /// A connection to the opaque service's door.
    pub(super) async fn echo(&self) -> Client {
        self.client(self.world.at(2, self.ports.1)).await
    }

    async fn client(&self, to: OriginalDst) -> Client {
        let (stream, serving) = knock(&self.world, &self.home, to).await;
        Client { stream, serving }
    }

    /// One request on a connection of its own: status, and the record of the decision.
    pub(super) async fn ask(&self, request: &str) -> (u16, Flow) {
        let before = self.operations().len();
        let mut client = self.web().await;
        let answer = client.ask(request).await;
        let status = answer.get(9..12).and_then(|code| code.parse().ok());
        let operations = self.operations();
        assert_eq!(operations.len(), before + 1, "{answer}");
        (status.unwrap(), operations.last().unwrap().clone())
    }

    /// Records of kind `operation`.
    pub(super) fn operations(&self) -> Vec<Flow> {
        self.of(Kind::Operation)
    }

    /// Records of kind `close`.
    pub(super) fn closes(&self) -> Vec<Flow> {
        self.of(Kind::Close)
    }

    fn of(&self, kind: Kind) -> Vec<Flow> {
        let mut flows = self.world.flows();
        flows.retain(|flow| flow.kind() == kind);
        flows
    }
}

/// The agent's end of a connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) serving: JoinHandle<()>,
}

impl Client {
    pub(super) async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `end` has arrived.
    pub(super) async fn until(&mut self, end: &str) -> String {
        let mut got = Vec::new();
        while !got.ends_with(end.as_bytes()) {
            let reading = timeout(SOON, self.stream.read_u8()).await;
            match reading.unwrap_or_else(|_| panic!("only {}", got.escape_ascii())) {
                Ok(byte) => got.push(byte),
                Err(cause) => panic!("{cause} after {}", got.escape_ascii()),
            }
        }
        String::from_utf8(got).unwrap()
    }

    /// Sends a request whose answer ends in `}`.
    pub(super) async fn ask(&mut self, request: &str) -> String {
        self.say(request).await;
        self.until("}").await
    }

    /// Sends a request, and reads its answer as far as a closing brace or the first byte of an opaque service; nothing
    /// when the connection is reset.
    pub(super) async fn answer(&mut self, request: &str) -> String {
        let mut got = Vec::new();
        // A connection that is not let in may be gone by now.
        if self.stream.write_all(request.as_bytes()).await.is_ok() {
            while !got.ends_with(b"}") && !got.ends_with(b"!") {
                match timeout(SOON, self.stream.read_u8()).await.unwrap() {
                    Ok(byte) => got.push(byte),
                    Err(_) => break,
                }
            }
        }
        String::from_utf8(got).unwrap()
    }

    /// Waits for the reset, and for the enforcer to be done.
    pub(super) async fn ends_in_a_reset(mut self, within: Duration) {
        let began = std::time::Instant::now();
        let ended = timeout(SOON, async {
            let mut byte = [0; 1024];
            loop {
                match self.stream.read(&mut byte).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(cause) => return Err(cause.kind()),
                }
            }
        });
        let ended = ended.await.expect("it is not cut");
        assert_eq!(ended, Err(std::io::ErrorKind::ConnectionReset));
        assert!(began.elapsed() <= within, "{:?}", began.elapsed());
        timeout(SOON, self.serving).await.unwrap().unwrap();
    }
}

fn estate_of((web, echo): (u16, u16), policy: &str, more: &str) -> String {
    format!(
        r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: web }}
spec: {{ protocol: http, port: {web} }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: echo }}
spec: {{ protocol: tcp, port: {echo} }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: {{ name: agent, labels: {{ team: crm }} }}
spec: {{ purpose: tests conditions }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: {{ name: agent }}
spec:
  agent: agent
{policy}
{more}
"#
    )
}

/// Answers every request with `{}`; those under `/long` with a head and a part of a body.
pub(super) async fn serve(listener: TcpListener, reached: Reached) {
    let mut running = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        running.spawn(converse(stream, Arc::clone(&reached)));
    }
}

/// Says one byte on every connection, and keeps it open.
pub(super) async fn serve_opaque(listener: TcpListener) {
    let mut open = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        // One that is reset at once needs no byte.
        if stream.write_all(b"!").await.is_ok() {
            open.push(stream);
        }
    }
}

async fn converse(mut stream: TcpStream, reached: Reached) {
    let mut got = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = got.split_off(end + 4);
                break String::from_utf8(std::mem::replace(&mut got, rest)).unwrap();
            }
            if !matches!(stream.read_buf(&mut got).await, Ok(1..)) {
                return;
            }
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        while got.len() < length {
            if !matches!(stream.read_buf(&mut got).await, Ok(1..)) {
                return;
            }
        }
        // No body of these tests holds what ends one in chunks.
        let chunked = head.contains("\r\ntransfer-encoding: chunked\r\n");
        while chunked && !got.ends_with(b"0\r\n\r\n") {
            if !matches!(stream.read_buf(&mut got).await, Ok(1..)) {
                return;
            }
        }
        let length = if chunked { got.len() } else { length };
        let rest = got.split_off(length);
        let body = std::mem::replace(&mut got, rest);
        let long = head.contains(" /long");
        reached.lock().unwrap().push((head, body));
        let answer = if long {
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
