//! The relay between a hostile client and a service, over a real connection.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringfence_enforcer::fuzz::{Judged, relay_http2};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http2_relay",
    holds: "behind the relay, fluke-hpack reads no request but those that were admitted, in the form of their admission, and no frame of any other stream; and it always ends",
    length_max: 2048,
    run,
};

/// Nothing is ever waited for but what is on its way already.
const PATIENCE: Duration = Duration::from_secs(20);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty one.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

thread_local! {
    static PLACE: (Runtime, TcpListener) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port of the loopback");
        (runtime, listener)
    };
}

type Shared = Arc<Mutex<State>>;

/// What a service has heard, and has yet to say.
#[derive(Default)]
struct State {
    heard: Vec<u8>,
    looked_at: usize,
    says: Vec<u8>,
    waiting: Option<Waker>,
}

/// Answers every request at once.
struct Service(Shared);

fn run(bytes: &[u8]) {
    PLACE.with(|(runtime, listener)| {
        let talked =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, talk(listener, bytes)).await });
        let (judged, heard) = talked.expect("it does not end").expect("the loopback");
        let mut admitted: Vec<(String, String)> = judged
            .into_iter()
            .filter_map(|judged| match judged {
                Judged::Admitted(method, path, query) => Some((method, target(path, query))),
                Judged::Refused => None,
            })
            .collect();
        for heard in heard {
            for request in requests(&heard) {
                let at = admitted.iter().position(|admitted| *admitted == request);
                let at = at.unwrap_or_else(|| panic!("{request:?} was never admitted"));
                admitted.remove(at);
            }
        }
    });
}

fn target(path: String, query: Option<Vec<u8>>) -> String {
    match query {
        None => path,
        Some(query) => format!("{path}?{}", String::from_utf8_lossy(&query)),
    }
}

async fn talk(listener: &TcpListener, bytes: &[u8]) -> io::Result<(Vec<Judged>, Vec<Vec<u8>>)> {
    let address = listener.local_addr()?;
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (mut client, (server, _)) = (client?, accepted?);
    let dialled: Arc<Mutex<Vec<Shared>>> = Arc::default();
    let services = Arc::clone(&dialled);
    let dial = move || {
        let state = Shared::default();
        state.lock().unwrap().says.extend_from_slice(&SETTINGS);
        services.lock().unwrap().push(Arc::clone(&state));
        Service(state)
    };
    let speak = async {
        // Whole frames are what most inputs are about.
        client.write_all(PREFACE).await?;
        client.write_all(&SETTINGS).await?;
        client.write_all(bytes).await?;
        // The end of a connection is the end of its streams: let them come to something first.
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
        client.shutdown().await?;
        let mut heard = Vec::new();
        // A reset is an end as well.
        let _ = client.read_to_end(&mut heard).await;
        // So that no port is kept for what may still come.
        client.set_zero_linger()?;
        drop(client);
        io::Result::Ok(heard)
    };
    let (relayed, heard) = tokio::join!(relay_http2(server, dial), speak);
    // The client's own trouble is to be reset.
    let _ = heard;
    let dialled = dialled.lock().unwrap();
    let heard = dialled
        .iter()
        .map(|state| state.lock().unwrap().heard.clone())
        .collect();
    Ok((relayed.judged, heard))
}

/// Kind, flags, stream, payload of a frame, and all that follows it.
type Split<'a> = (u8, u8, u32, &'a [u8], &'a [u8]);

/// The frame at the start.
fn frame(bytes: &[u8]) -> Option<Split<'_>> {
    let ([a, b, c, kind, flags, d, e, f, g], rest) = bytes.split_first_chunk::<9>()?;
    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((
        *kind,
        *flags,
        u32::from_be_bytes([*d, *e, *f, *g]),
        payload,
        rest,
    ))
}

/// The requests in what a service has heard: method and target.
fn requests(heard: &[u8]) -> Vec<(String, String)> {
    if heard.is_empty() {
        return Vec::new();
    }
    let mut rest = heard
        .strip_prefix(PREFACE)
        .expect("the preface comes first");
    let mut decoder = fluke_hpack::Decoder::new();
    let mut begun = BTreeSet::new();
    let mut found = Vec::new();
    let mut block: Vec<u8> = Vec::new();
    while let Some((kind, flags, stream, payload, after)) = frame(rest) {
        rest = after;
        match kind {
            0 | 3 => assert!(
                begun.contains(&stream),
                "a frame on a stream that was not begun"
            ),
            1 | 9 => {
                block.extend_from_slice(payload);
                if flags & 4 == 0 {
                    continue;
                }
                let fields = decoder
                    .decode(&std::mem::take(&mut block))
                    .expect("a sound block");
                let value = |name: &str| -> Option<String> {
                    let mut all = fields.iter().filter(|(n, _)| n == name.as_bytes());
                    let value = all.next()?;
                    assert!(all.next().is_none(), "{name} stands twice");
                    Some(String::from_utf8_lossy(&value.1).into_owned())
                };
                if !begun.insert(stream) {
                    assert!(
                        value(":path").is_none() && flags & 1 != 0,
                        "trailers like a head"
                    );
                    continue;
                }
                assert_eq!(value("x-forwarded-client-cert").as_deref(), Some("By=us"));
                found.push((value(":method").unwrap(), value(":path").unwrap()));
            }
            4 | 6 | 7 | 8 => {}
            other => panic!("a frame of kind {other}"),
        }
    }
    assert!(block.is_empty(), "a block without end");
    found
}

impl State {
    fn answer(&mut self) {
        self.looked_at = self.looked_at.max(PREFACE.len().min(self.heard.len()));
        while let Some((kind, _, stream, payload, _)) =
            frame(self.heard.get(self.looked_at..).unwrap_or_default())
        {
            self.looked_at += 9 + payload.len();
            if kind == 1 {
                // 204, and the end.
                self.says.extend_from_slice(&[0, 0, 1, 1, 5]);
                self.says.extend_from_slice(&stream.to_be_bytes());
                self.says.push(0x89);
            }
        }
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl AsyncRead for Service {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if state.says.is_empty() {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = state.says.len().min(buffer.remaining());
        buffer.put_slice(&state.says[..count]);
        state.says.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Service {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        state.heard.extend_from_slice(bytes);
        state.answer();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
