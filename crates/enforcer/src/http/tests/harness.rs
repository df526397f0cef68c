//! A gate that keeps a diary, services that follow a script, and clients that say exactly what they are told.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_model::path::Allowances;
use ringfence_wire::foreign::Spoken;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::gate::{Asked, Ended, Gate, Read, Refusal, Said};
use super::super::limits::{Timeouts, WHAT_MAX};
use super::super::session::relay_within;
use crate::relay::{End, relay_begun};
use crate::splice::Side;
use crate::whole::Whole;

/// How long a test waits for what must happen.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// How long a test waits for what must not happen.
pub(super) const A_WHILE: Duration = Duration::from_millis(200);

/// Waits that a test can sit out.
pub(super) const QUICK: Timeouts = Timeouts {
    head: Duration::from_millis(300),
    early: Duration::from_millis(300),
    idle: Duration::from_millis(600),
    dial: Duration::from_millis(300),
    stall: Duration::from_millis(600),
    answer: Duration::from_secs(2),
    linger: Duration::from_secs(2),
};

/// Allows every path but those under `/forbidden`; cannot record those under `/unrecorded`; asks for the body under
/// `/judged`, and there forbids all that hold `evil`, and all that are too long but under `/judged/any`.
pub(super) struct Diary {
    service: Option<SocketAddr>,
    entries: Mutex<Vec<String>>,
    revoked: watch::Sender<bool>,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// Before and after the first dial.
    authorities: Option<[String; 2]>,
    dialled: AtomicBool,
}

impl Diary {
    fn note(&self, entry: String) {
        self.entries.lock().unwrap().push(entry);
    }

    /// All that was asked of the gate, in order.
    pub(super) fn entries(&self) -> Vec<String> {
        self.entries.lock().unwrap().clone()
    }

    pub(super) fn revoke(&self) {
        self.revoked.send_replace(true);
    }

    pub(super) fn counted(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Relaxed),
            self.received.load(Ordering::Relaxed),
        )
    }
}

impl Side for BufStream<TcpStream> {
    fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

impl Gate for Diary {
    /// Whether fields were looked at.
    type Permit = bool;
    /// Like TLS, it holds back what is not flushed.
    type Upstream = BufStream<TcpStream>;

    fn allowances(&self) -> Allowances {
        Allowances::default()
    }

    fn authority_ok(&self, authority: &str) -> bool {
        matches!(authority.to_ascii_lowercase().as_str(), "svc" | "svc:8080")
    }

    fn admit(&self, asked: &Asked<'_>) -> Result<bool, Refusal> {
        let (method, path) = (asked.method, asked.path.as_str());
        let judged = path.starts_with("/judged");
        let (word, answer) = match (path, asked.body) {
            (_, Said::Unread) if judged => ("ask", Err(Refusal::BodyFirst)),
            (_, Said::Whole(body)) if body.windows(4).any(|four| four == b"evil") => {
                ("deny", Err(Refusal::Refused))
            }
            (_, Said::TooLong) if path != "/judged/any" => ("deny", Err(Refusal::Refused)),
            _ if path.starts_with("/forbidden") => ("deny", Err(Refusal::Refused)),
            _ if path.starts_with("/unrecorded") => ("lost", Err(Refusal::Unavailable)),
            _ => ("allow", Ok(judged)),
        };
        self.note(format!("{word} {method} {path}"));
        answer
    }

    fn saw_fields(&self, permit: &bool) -> bool {
        *permit
    }

    fn refuse_malformed(&self, what: &str, reason: &str) {
        assert!(
            what.len() <= WHAT_MAX && what.bytes().all(|b| (0x20..0x7f).contains(&b)),
            "{what:?}"
        );
        self.note(format!("malformed {what}: {reason}"));
    }

    fn refuse_foreign(&self, what: &str, seen: Spoken) {
        self.note(format!("foreign {what}: {seen}"));
    }

    async fn dial(&self) -> io::Result<BufStream<TcpStream>> {
        self.note("dial".to_owned());
        match self.service {
            Some(address) => {
                let stream = TcpStream::connect(address).await?;
                self.dialled.store(true, Ordering::Relaxed);
                Ok(BufStream::new(stream))
            }
            None => std::future::pending().await,
        }
    }

    fn upstream_authority(&self) -> Option<String> {
        let which = usize::from(self.dialled.load(Ordering::Relaxed));
        Some(self.authorities.as_ref()?[which].clone())
    }

    fn client_cert_header(&self) -> &str {
        "URI=spiffe://zone/agent/a"
    }

    async fn revoked(&self, _permit: Option<&bool>) {
        let mut revoked = self.revoked.subscribe();
        if revoked.wait_for(|&revoked| revoked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn carry(
        &self,
        permit: &bool,
        client: &mut Whole,
        upstream: &mut BufStream<TcpStream>,
        read: Read,
    ) -> Ended {
        self.note("carry".to_owned());
        let stop = self.revoked(Some(permit));
        let (end, moved) = relay_begun(client, upstream, [read.there, read.back], stop).await;
        self.count(moved.sent, moved.received);
        match end {
            End::Finished => Ended::Finished,
            End::Broken { .. } => Ended::WebSocketBroke,
            End::Stopped(()) => {
                client.set_zero_linger().unwrap();
                Ended::Revoked
            }
        }
    }

    fn upstream_failed(&self, reason: &str) {
        self.note(format!("failed {reason}"));
    }

    fn sent_on(&self, arrived: std::time::Instant) {
        assert!(arrived.elapsed() < std::time::Duration::from_secs(60));
    }

    fn count(&self, sent: u64, received: u64) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.received.fetch_add(received, Ordering::Relaxed);
    }
}

/// A connection to a service, as the service sees it.
pub(super) struct Wire(pub(super) TcpStream);

impl Wire {
    /// Reads until what has been read ends with `end`.
    pub(super) async fn read_until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            let mut byte = [0];
            let count = timeout(SOON, self.0.read(&mut byte))
                .await
                .unwrap_or_else(|_| {
                    panic!("still waiting for {end:?} after {}", bytes.escape_ascii())
                });
            match count {
                Ok(1) => bytes.push(byte[0]),
                other => panic!(
                    "{other:?} while waiting for {end:?} after {}",
                    bytes.escape_ascii()
                ),
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    /// Reads a head.
    pub(super) async fn head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    /// Reads exactly `count` bytes.
    pub(super) async fn exactly(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        timeout(SOON, self.0.read_exact(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Reads to the end; an error is how it ended.
    pub(super) async fn rest(&mut self) -> (String, io::Result<()>) {
        let mut bytes = Vec::new();
        let result = timeout(SOON, self.0.read_to_end(&mut bytes))
            .await
            .expect("the end");
        (
            String::from_utf8_lossy(&bytes).into_owned(),
            result.map(drop),
        )
    }

    /// Reads to a clean end.
    pub(super) async fn all(&mut self) -> String {
        let (text, result) = self.rest().await;
        result.unwrap();
        text
    }

    /// Reads until the other side is gone, however it goes.
    pub(super) async fn until_gone(&mut self) {
        let (_, _) = self.rest().await;
    }

    pub(super) async fn say(&mut self, text: &str) {
        timeout(SOON, self.0.write_all(text.as_bytes()))
            .await
            .unwrap()
            .unwrap();
    }

    /// Asserts that nothing comes for a while, not even the end.
    pub(super) async fn silence(&mut self) {
        let mut byte = [0];
        if let Ok(read) = timeout(A_WHILE, self.0.read(&mut byte)).await {
            panic!("{read:?} {byte:?} where there should be silence");
        }
    }
}

type Script = dyn Fn(Wire, usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// A client, its relay, and the service behind.
pub(super) struct Scene {
    pub(super) client: Wire,
    pub(super) gate: Arc<Diary>,
    relay: JoinHandle<Ended>,
    service: JoinHandle<()>,
}

impl Scene {
    /// `script` is run for every connection to the service, with its number from 0.
    pub(super) async fn new<F, S>(script: F) -> Self
    where
        F: Fn(Wire, usize) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::within(Timeouts::STANDARD, None, script).await
    }

    pub(super) async fn within<F, S>(
        timeouts: Timeouts,
        authorities: Option<[&str; 2]>,
        script: F,
    ) -> Self
    where
        F: Fn(Wire, usize) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let script: Arc<Script> = Arc::new(move |wire, nth| Box::pin(script(wire, nth)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = tokio::spawn(async move {
            let mut running = tokio::task::JoinSet::new();
            let mut nth = 0;
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        running.spawn(script(Wire(accepted.unwrap().0), nth));
                        nth += 1;
                    }
                    Some(done) = running.join_next() => done.unwrap(),
                }
            }
        });
        Self::at(timeouts, Some(address), authorities, service, None).await
    }

    /// Refuses only, through buffers of the kernel that are full soon.
    pub(super) async fn with_little_room() -> Self {
        let service = tokio::spawn(std::future::pending());
        Self::at(Timeouts::STANDARD, None, None, service, Some(4096)).await
    }

    /// No service answers the dial. `address`: where nobody listens, or `None` to have the dial hang.
    pub(super) async fn without_service(timeouts: Timeouts, address: Option<SocketAddr>) -> Self {
        Self::at(
            timeouts,
            address,
            None,
            tokio::spawn(std::future::pending()),
            None,
        )
        .await
    }

    async fn at(
        timeouts: Timeouts,
        address: Option<SocketAddr>,
        authorities: Option<[&str; 2]>,
        service: JoinHandle<()>,
        room: Option<u32>,
    ) -> Self {
        let gate = Arc::new(Diary {
            service: address,
            entries: Mutex::default(),
            revoked: watch::Sender::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            authorities: authorities.map(|both| both.map(str::to_owned)),
            dialled: AtomicBool::new(false),
        });
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(room) = room {
            socket.set_recv_buffer_size(room).unwrap();
        }
        let client = socket.connect(door.local_addr().unwrap()).await.unwrap();
        let (inner, _) = door.accept().await.unwrap();
        if let Some(room) = room {
            set_socket_send_buffer_size(&inner, room as usize).unwrap();
        }
        let for_relay = Arc::clone(&gate);
        let relay = tokio::spawn(async move { relay_within(inner, &*for_relay, timeouts).await });
        Self {
            client: Wire(client),
            gate,
            relay,
            service,
        }
    }

    /// The relay, which goes on.
    pub(super) fn relay(&self) -> &JoinHandle<Ended> {
        &self.relay
    }

    /// Waits for the relay to end, and says why it did.
    pub(super) async fn ended(self) -> Ended {
        let Self {
            client,
            relay,
            service,
            ..
        } = self;
        let ended = timeout(SOON, relay)
            .await
            .expect("the relay to end")
            .unwrap();
        drop(client);
        service.abort();
        ended
    }

    /// Closes the client and waits for the relay to end.
    pub(super) async fn leave(mut self) -> Ended {
        self.client.0.shutdown().await.unwrap();
        self.ended().await
    }
}

/// Says `ask` to a service that answers it with `answer` and stays; on further connections it does as [`counting`].
pub(super) async fn answered(ask: &str, answer: &'static str) -> Scene {
    let mut scene = Scene::new(move |mut wire: Wire, nth| async move {
        if nth > 0 {
            return counting(wire, nth).await;
        }
        wire.head().await;
        wire.say(answer).await;
        wire.until_gone().await;
    })
    .await;
    scene.client.say(ask).await;
    scene
}

/// A service that answers every request with 200 and the number of its connection and request, until the end.
pub(super) async fn counting(mut wire: Wire, nth: usize) {
    for request in 0.. {
        let mut byte = [0];
        if !matches!(wire.0.peek(&mut byte).await, Ok(1)) {
            return;
        }
        let head = wire.head().await;
        if let Some(length) = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
        {
            wire.exactly(length.parse().unwrap()).await;
        }
        let body = format!("{nth}.{request}");
        wire.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    }
}

/// What [`counting`] says, after the relay.
pub(super) fn counted(nth: usize, request: usize) -> String {
    let body = format!("{nth}.{request}");
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An answer of the relay's own.
pub(super) fn own(status: &str, error: &str, retry: bool, close: bool) -> String {
    let body = format!("{{\"error\":\"{error}\",\"retry\":{retry}}}");
    let close = if close { "connection: close\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{close}\r\n{body}",
        body.len()
    )
}

/// The 403.
pub(super) fn refused(close: bool) -> String {
    own("403 Forbidden", "refused by policy", false, close)
}
