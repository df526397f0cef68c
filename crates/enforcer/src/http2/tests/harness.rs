//! A gate that keeps a diary, and peers that say exactly the frames they are told.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use ringfence_model::path::Allowances;
use ringfence_wire::foreign::Spoken;
use ringfence_wire::http2::hpack::{Decoder, Encoder};
use ringfence_wire::http2::{HeaderList, PREFACE, Violation};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::gate::{Ended, Gate};
use super::super::limits::Timeouts;
use super::super::session::relay_within;
use crate::http::{self, Asked, Refusal, Said};
use crate::limits::HELD_PER_COMPARTMENT;
use crate::memory::Memory;
use crate::whole::Whole;

/// How long a test waits for what must happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How long a test waits for what must not happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(200);

/// Longer than a turn.
pub(crate) const LONG: Duration = Duration::from_millis(2);

/// Waits that a test can sit out.
pub(super) const QUICK: Timeouts = Timeouts {
    frame: Duration::from_millis(400),
    idle: Duration::from_millis(800),
    dial: Duration::from_millis(400),
    early: Duration::from_millis(400),
    stream: Duration::from_millis(1500),
    window: Duration::from_millis(600),
    write: Duration::from_millis(800),
    tick: Duration::from_millis(50),
    linger: Duration::from_secs(2),
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Allows every path but those under `/forbidden`, and what was revoked, and takes [`LONG`] over `/forbidden/long`; asks for the body under `/judged`, and there
/// forbids all that hold `evil`; looks at fields under `/seen`. As a service of gRPC it allows `a.Svc/Do` and `a.Svc/Stream`.
pub(crate) struct Diary {
    service: Option<SocketAddr>,
    grpc: bool,
    entries: Mutex<Vec<String>>,
    /// Paths that may not go on; all of the connection where `*` is among them.
    revoked: watch::Sender<BTreeSet<String>>,
    memory: Arc<Memory>,
}

impl Diary {
    fn new(service: Option<SocketAddr>, grpc: bool, memory: usize) -> Arc<Self> {
        Arc::new(Self {
            service,
            grpc,
            entries: Mutex::default(),
            revoked: watch::Sender::default(),
            memory: Memory::new(memory),
        })
    }

    /// Bytes of the account that are lent.
    pub(crate) fn lent(&self) -> usize {
        self.memory.lent()
    }

    fn note(&self, entry: String) {
        self.entries.lock().unwrap().push(entry);
    }

    /// All that was asked of the gate, in order.
    pub(crate) fn entries(&self) -> Vec<String> {
        self.entries.lock().unwrap().clone()
    }

    pub(crate) fn revoke(&self, path: &str) {
        self.revoked.send_modify(|revoked| {
            revoked.insert(path.to_owned());
        });
    }

    /// How many bodies are held for decisions is no concern of these tests.
    fn decide(&self, asked: &Asked<'_>) -> Result<Permit, Refusal> {
        let what = match asked.call {
            Some(call) => call.to_string(),
            None => format!("{} {}", asked.method, asked.path.as_str()),
        };
        let path = asked.path.as_str();
        if path == "/forbidden/long" {
            std::thread::sleep(LONG);
        }
        let judged = path.starts_with("/judged");
        let (word, answer) = match (path, asked.body) {
            (_, Said::Unread) if judged => ("ask", Err(Refusal::BodyFirst)),
            (_, Said::Whole(body)) if body.windows(4).any(|four| four == b"evil") => {
                ("deny", Err(Refusal::Refused))
            }
            _ if path.starts_with("/forbidden") => ("deny", Err(Refusal::Refused)),
            _ if asked.call.is_some() && !what.starts_with("a.Svc/") => {
                ("deny", Err(Refusal::Refused))
            }
            _ => (
                "allow",
                Ok(Permit {
                    path: path.to_owned(),
                    judged: judged || path.starts_with("/seen"),
                }),
            ),
        };
        self.note(format!("{word} {what}"));
        answer
    }
}

pub(crate) struct Permit {
    path: String,
    judged: bool,
}

impl http::Gate for Diary {
    type Permit = Permit;
    /// Like TLS, it holds back what is not flushed.
    type Upstream = BufStream<TcpStream>;

    fn allowances(&self) -> Allowances {
        Allowances::default()
    }

    fn authority_ok(&self, authority: &str) -> bool {
        authority == "svc"
    }

    fn admit(&self, asked: &Asked<'_>) -> Result<Permit, Refusal> {
        self.decide(asked)
    }

    fn saw_fields(&self, permit: &Permit) -> bool {
        permit.judged
    }

    fn refuse_malformed(&self, what: &str, reason: &str) {
        assert!(
            what.len() <= 256 && what.bytes().all(|b| (0x20..0x7f).contains(&b)),
            "{what:?}"
        );
        self.note(format!("malformed {what}: {reason}"));
    }

    fn refuse_foreign(&self, what: &str, seen: Spoken) {
        self.note(format!("foreign {what}: {seen}"));
    }

    async fn carry(
        &self,
        _: &Permit,
        _: &mut Whole,
        _: &mut BufStream<TcpStream>,
        _: http::Read,
    ) -> http::Ended {
        unreachable!("HTTP/2 opens no WebSocket")
    }

    async fn dial(&self) -> io::Result<BufStream<TcpStream>> {
        self.note("dial".to_owned());
        match self.service {
            Some(address) => Ok(BufStream::new(TcpStream::connect(address).await?)),
            None => std::future::pending().await,
        }
    }

    fn upstream_authority(&self) -> Option<String> {
        None
    }

    fn client_cert_header(&self) -> &str {
        "URI=spiffe://zone/agent/a"
    }

    async fn revoked(&self, _permit: Option<&Permit>) {
        std::future::pending().await
    }

    fn upstream_failed(&self, reason: &str) {
        self.note(format!("failed {reason}"));
    }

    fn sent_on(&self, _arrived: std::time::Instant) {}

    fn count(&self, _sent: u64, _received: u64) {}
}

impl Gate for Diary {
    type Place = ();
    type Watch = watch::Receiver<BTreeSet<String>>;

    fn is_grpc(&self) -> bool {
        self.grpc
    }

    fn admit_stream(&self, asked: &Asked<'_>, held: &mut Option<()>) -> Result<Permit, Refusal> {
        let decided = self.decide(asked);
        let before = std::mem::take(held);
        match (&decided, asked.body) {
            (Err(Refusal::BodyFirst), _) => *held = Some(()),
            (_, Said::Whole(_) | Said::TooLong) => assert!(before.is_some(), "its place is kept"),
            _ => {}
        }
        decided
    }

    fn scheme(&self) -> &'static str {
        "http"
    }

    fn watch(&self) -> Self::Watch {
        self.revoked.subscribe()
    }

    async fn changed(&self, watch: &mut Self::Watch) {
        if watch.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn may_stay(&self, watch: &mut Self::Watch) -> bool {
        !watch.borrow_and_update().contains("*")
    }

    fn may_go_on(&self, watch: &mut Self::Watch, permit: &Permit) -> bool {
        let may = !watch.borrow().contains(&permit.path);
        if !may {
            self.note(format!("cut {}", permit.path));
        }
        may
    }

    fn has_time(&self, _permit: &Permit) -> bool {
        false
    }

    fn note(&self, _watch: &mut Self::Watch, _permit: &Permit) {}

    fn breach(&self, what: Option<&str>, violation: Violation) {
        self.note(format!("breach {}: {violation}", what.unwrap_or("-")));
    }

    fn over_bound(&self, what: &str, reason: &str) {
        self.note(format!("over {what}: {reason}"));
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn out_of_memory(&self, what: &str) {
        self.note(format!("no memory for {what}"));
    }
}

/// A frame as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// One end of a connection, that says frames and reads frames.
pub(crate) struct Peer {
    pub(crate) io: TcpStream,
    decoder: Decoder,
    unread: Vec<u8>,
    /// Frames that only keep a connection going are passed over.
    pub(crate) all: bool,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags, d, e, f, g];
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block of `(name, value)`.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        Encoder::field(name, value.as_bytes(), false, &mut out);
    }
    out
}

/// The fields of a request, before `more`.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "svc"),
        (":path", path),
    ];
    fields.extend_from_slice(more);
    block(&fields)
}

impl Peer {
    pub(crate) fn new(io: TcpStream) -> Self {
        io.set_nodelay(true).unwrap();
        Self {
            io,
            decoder: Decoder::default(),
            unread: Vec::new(),
            all: false,
        }
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        timeout(SOON, self.io.write_all(bytes))
            .await
            .expect("it to be taken")
            .unwrap();
    }

    pub(crate) async fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes(&frame(kind, flags, stream, payload)).await;
    }

    /// The preface of a client, and SETTINGS of `(identifier, value)`.
    pub(crate) async fn greet(&mut self, settings: &[(u16, u32)]) {
        self.bytes(PREFACE).await;
        self.settings(settings).await;
    }

    pub(crate) async fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend_from_slice(&identifier.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.say(SETTINGS, 0, 0, &payload).await;
    }

    /// What a service does first.
    pub(crate) async fn welcome(&mut self, settings: &[(u16, u32)]) {
        let mut preface = [0; PREFACE.len()];
        timeout(SOON, self.io.read_exact(&mut preface))
            .await
            .expect("a preface")
            .unwrap();
        assert_eq!(&preface, PREFACE);
        self.settings(settings).await;
    }

    /// A whole header block.
    pub(crate) async fn headers(&mut self, stream: u32, block: &[u8], end: bool) {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.say(HEADERS, flags, stream, block).await;
    }

    /// A request without a body.
    pub(crate) async fn asks(&mut self, stream: u32, method: &str, path: &str) {
        self.headers(stream, &request(method, path, &[]), true)
            .await;
    }

    /// A request of which more will come.
    pub(crate) async fn begins(&mut self, stream: u32, method: &str, path: &str) {
        self.headers(stream, &request(method, path, &[]), false)
            .await;
    }

    /// The head of an answer of which more will come.
    pub(crate) async fn answers(&mut self, stream: u32) {
        self.headers(stream, &block(&[(":status", "200")]), false)
            .await;
    }

    pub(crate) async fn data(&mut self, stream: u32, data: &[u8], end: bool) {
        self.say(DATA, if end { END_STREAM } else { 0 }, stream, data)
            .await;
    }

    pub(crate) async fn window(&mut self, stream: u32, more: u32) {
        self.say(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
            .await;
    }

    pub(crate) async fn reset(&mut self, stream: u32, code: u32) {
        self.say(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// The next frame of any kind; `None` at the end of the stream, however it ends.
    pub(crate) async fn next_raw(&mut self) -> Option<Raw> {
        loop {
            if let Some(raw) = self.cut() {
                return Some(raw);
            }
            let read = timeout(SOON, self.io.read_buf(&mut self.unread))
                .await
                .expect("a frame, or the end");
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }

    fn cut(&mut self) -> Option<Raw> {
        let [a, b, c, kind, flags, d, e, f, g] = *self.unread.first_chunk()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.unread.get(9..9 + length)?.to_vec();
        self.unread.drain(..9 + length);
        Some(Raw {
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]),
            payload,
        })
    }

    /// The next frame, in words; SETTINGS, WINDOW_UPDATE and PING are passed over unless `all`.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            let Some(raw) = self.next_raw().await else {
                return "end".to_owned();
            };
            if self.all || !matches!(raw.kind, SETTINGS | WINDOW_UPDATE | PING) {
                return self.words(&raw);
            }
        }
    }

    fn words(&mut self, raw: &Raw) -> String {
        let end = if raw.flags & END_STREAM != 0 && raw.kind < 2 {
            " end"
        } else {
            ""
        };
        let word = |at: usize| u32::from_be_bytes(*raw.payload[at..].first_chunk().unwrap());
        match raw.kind {
            DATA => format!(
                "{} data {}{end}",
                raw.stream,
                String::from_utf8_lossy(&raw.payload)
            ),
            HEADERS => {
                assert_eq!(raw.flags & !END_STREAM, END_HEADERS, "{raw:?}");
                let fields = self.fields(&raw.payload);
                format!("{} headers {fields}{end}", raw.stream)
            }
            RST_STREAM => format!("{} reset {}", raw.stream, word(0)),
            GOAWAY => format!("goaway {} {}", word(0), word(4)),
            WINDOW_UPDATE => format!("{} window {}", raw.stream, word(0)),
            SETTINGS if raw.flags & ACK != 0 => "settings ack".to_owned(),
            SETTINGS => "settings".to_owned(),
            PING if raw.flags & ACK != 0 => "pong".to_owned(),
            kind => format!("{} kind {kind}", raw.stream),
        }
    }

    /// The fields of a block, as `name=value`.
    pub(crate) fn fields(&mut self, block: &[u8]) -> String {
        let mut list = HeaderList::default();
        self.decoder.decode(block, &mut list).unwrap();
        let fields: Vec<_> = list
            .pairs()
            .map(|(name, value)| {
                format!(
                    "{}={}",
                    String::from_utf8_lossy(name),
                    String::from_utf8_lossy(value)
                )
            })
            .collect();
        fields.join(" ")
    }

    /// Asserts that nothing comes for a while, not even the end, but what keeps a connection going.
    pub(crate) async fn silence(&mut self) {
        let until = tokio::time::Instant::now() + A_WHILE;
        loop {
            while let Some(raw) = self.cut() {
                let idle = matches!(raw.kind, SETTINGS | WINDOW_UPDATE | PING);
                assert!(idle, "{raw:?} where there should be silence");
            }
            let read = tokio::time::timeout_at(until, self.io.read_buf(&mut self.unread)).await;
            match read {
                Err(_) => return,
                Ok(Ok(1..)) => {}
                Ok(other) => panic!("{other:?} where there should be silence"),
            }
        }
    }

    /// Reads until the other side is gone; gives the last frames.
    pub(crate) async fn until_gone(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match self.next().await.as_str() {
                "end" => return all,
                other => all.push(other.to_owned()),
            }
        }
    }
}

/// A client, its relay, and a service that waits to be accepted.
pub(crate) struct Scene {
    pub(crate) client: Peer,
    pub(crate) gate: Arc<Diary>,
    relay: JoinHandle<Ended>,
    listener: TcpListener,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::within(Timeouts::STANDARD, false, true).await
    }

    /// With a service of gRPC.
    pub(crate) async fn grpc() -> Self {
        Self::within(Timeouts::STANDARD, true, true).await
    }

    /// A relay that nobody runs yet, its client, and its service, whose sockets hold little.
    pub(crate) async fn apart() -> Apart<impl Future<Output = Ended>> {
        Self::apart_with(8192).await
    }

    /// The same, with sockets that hold about so many bytes.
    pub(crate) async fn apart_with(buffers: u32) -> Apart<impl Future<Output = Ended>> {
        let listener = sized(buffers).listen(1).unwrap();
        let service = listener.local_addr().unwrap();
        let gate = Diary::new(Some(service), false, HELD_PER_COMPARTMENT);
        let door = sized(buffers).listen(1).unwrap();
        let client = sized(buffers)
            .connect(door.local_addr().unwrap())
            .await
            .unwrap();
        let (inner, _) = door.accept().await.unwrap();
        let own = Arc::clone(&gate);
        Apart {
            relay: Box::pin(async move { relay_within(inner, &*own, Timeouts::STANDARD).await }),
            client: Peer::new(client),
            gate,
            listener,
        }
    }

    /// With so many bytes for all that its requests take beyond what a connection may hold by itself.
    pub(crate) async fn with_memory(bytes: usize) -> Self {
        Self::of(Timeouts::STANDARD, false, true, bytes).await
    }

    /// `there`: a service listens; otherwise the dial hangs.
    pub(super) async fn within(timeouts: Timeouts, grpc: bool, there: bool) -> Self {
        Self::of(timeouts, grpc, there, HELD_PER_COMPARTMENT).await
    }

    async fn of(timeouts: Timeouts, grpc: bool, there: bool, memory: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Diary::new(there.then_some(address), grpc, memory);
        let (client, inner) = pair().await;
        let for_relay = Arc::clone(&gate);
        let relay = tokio::spawn(async move { relay_within(inner, &*for_relay, timeouts).await });
        Self {
            client: Peer::new(client),
            gate,
            relay,
            listener,
        }
    }

    /// The next connection to the service.
    pub(crate) async fn accept(&mut self) -> Peer {
        let (io, _) = timeout(SOON, self.listener.accept())
            .await
            .expect("a connection")
            .unwrap();
        Peer::new(io)
    }

    /// Greets on both sides, with a first request `GET /` that was answered.
    pub(crate) async fn warm(&mut self) -> Peer {
        self.warm_with(&[], &[]).await
    }

    pub(crate) async fn warm_with(
        &mut self,
        client: &[(u16, u32)],
        service: &[(u16, u32)],
    ) -> Peer {
        self.client.greet(client).await;
        let first = if self.gate.grpc {
            call("/a.Svc/Do")
        } else {
            request("GET", "/", &[])
        };
        self.client.headers(1, &first, true).await;
        let mut peer = self.accept().await;
        peer.welcome(service).await;
        assert!(peer.next().await.starts_with("1 headers :method="));
        peer.headers(1, &block(&[(":status", "204")]), true).await;
        assert_eq!(self.client.next().await, "1 headers :status=204 end");
        peer
    }

    /// Waits for the relay to end, and says why it did.
    pub(crate) async fn ended(self) -> Ended {
        let Self { client, relay, .. } = self;
        let ended = timeout(SOON, relay)
            .await
            .expect("the relay to end")
            .unwrap();
        drop(client);
        ended
    }

    /// The same, with the client still there.
    pub(crate) async fn ended_beside(self) -> (Ended, Peer) {
        let ended = timeout(SOON, self.relay).await;
        (ended.expect("the relay to end").unwrap(), self.client)
    }

    /// The same, and what the client sees before.
    pub(crate) async fn broken(mut self) -> (Vec<String>, Ended) {
        let said = self.client.until_gone().await;
        // The relay waits for the client to close its side too.
        self.client.io.shutdown().await.ok();
        (said, self.ended().await)
    }

    /// Closes the client and waits for the relay to end.
    pub(crate) async fn leave(mut self) -> Ended {
        self.client.io.shutdown().await.unwrap();
        self.ended().await
    }
}

/// A relay that has a turn when a test says so.
pub(crate) struct Apart<R> {
    relay: Pin<Box<R>>,
    pub(crate) client: Peer,
    pub(crate) gate: Arc<Diary>,
    listener: TcpListener,
}

impl<R: Future<Output = Ended>> Apart<R> {
    /// Gives it one turn.
    pub(crate) fn turn(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(self.relay.as_mut().poll(&mut cx).is_pending());
    }

    /// Gives it turns until it has ended, and says how many those were.
    pub(crate) async fn turns_to_its_end(&mut self) -> usize {
        for turn in 1..100_000 {
            let mut cx = Context::from_waker(Waker::noop());
            if self.relay.as_mut().poll(&mut cx).is_ready() {
                return turn;
            }
            // Sockets are looked at in between.
            tokio::task::yield_now().await;
        }
        panic!("it does not end");
    }

    /// Gives it some turns.
    pub(crate) async fn rest(&mut self) {
        for _ in 0..20 {
            self.turn();
            // Sockets are looked at in between.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Gives it turns until it has dialled, and greets it as its service. The request that it dialled for is the
    /// client's first.
    pub(crate) async fn serve(&mut self) -> Peer {
        self.client.greet(&[]).await;
        self.client.asks(1, "GET", "/").await;
        self.rest().await;
        let (io, _) = timeout(SOON, self.listener.accept())
            .await
            .unwrap()
            .unwrap();
        let mut peer = Peer::new(io);
        self.rest().await;
        peer.welcome(&[]).await;
        self.rest().await;
        assert!(peer.next().await.starts_with("1 headers :method="));
        peer.headers(1, &block(&[(":status", "204")]), true).await;
        self.rest().await;
        assert_eq!(self.client.next().await, "1 headers :status=204 end");
        peer
    }
}

/// A socket on the loopback whose buffers, and those of what it accepts, have this size.
fn sized(buffers: u32) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(buffers).unwrap();
    socket.set_send_buffer_size(buffers).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// The two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(door.local_addr().unwrap())
        .await
        .unwrap();
    let (inner, _) = door.accept().await.unwrap();
    (client, inner)
}

/// The header block of a call.
pub(crate) fn call(path: &str) -> Vec<u8> {
    request(
        "POST",
        path,
        &[("content-type", "application/grpc"), ("te", "trailers")],
    )
}

/// What goes on of [`request`], in the words of [`Peer::next`].
pub(crate) fn sent_on(method: &str, path: &str, more: &str) -> String {
    let space = if more.is_empty() { "" } else { " " };
    format!(
        ":method={method} :scheme=http :authority=svc :path={path}{space}{more} \
         x-forwarded-client-cert=URI=spiffe://zone/agent/a"
    )
}
