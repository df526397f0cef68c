//! The relay between a hostile client and a service, over a real connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringfence_enforcer::fuzz::{Judged, relay};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::peers::{Ended, PEERS, Request};
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http1_relay",
    holds: "behind the relay, three parsers see in order no request but those that were admitted, in the form of their admission; and it always ends",
    length_max: 2048,
    run,
};

/// Nothing is ever waited for but what is on its way already.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static PLACE: (Runtime, TcpListener) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port of the loopback");
        (runtime, listener)
    };
}

/// What was written to each service that was dialled.
type Written = Arc<Mutex<Vec<Arc<Mutex<Vec<u8>>>>>>;

fn run(bytes: &[u8]) {
    PLACE.with(|(runtime, listener)| {
        let talked =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, talk(listener, bytes)).await });
        let (judged, written) = talked.expect("it does not end").expect("the loopback");
        compare(&judged, &written);
    });
}

async fn talk(listener: &TcpListener, bytes: &[u8]) -> io::Result<(Vec<Judged>, Vec<Vec<u8>>)> {
    let address = listener.local_addr()?;
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (mut client, (server, _)) = (client?, accepted?);
    let written = Written::default();
    let dialled = Arc::clone(&written);
    let dial = move || {
        let stream = Arc::default();
        dialled.lock().unwrap().push(Arc::clone(&stream));
        Service {
            stream,
            seen: 0,
            answered: 0,
            answer: Vec::new(),
            waiting: None,
        }
    };
    let speak = async {
        client.write_all(bytes).await?;
        client.shutdown().await?;
        let mut heard = Vec::new();
        // A reset is an end as well.
        let _ = client.read_to_end(&mut heard).await;
        // So that no port is kept for what may still come.
        client.set_zero_linger()?;
        drop(client);
        io::Result::Ok(heard)
    };
    let (relayed, heard) = tokio::join!(relay(server, dial), speak);
    // The client's own trouble is to be reset.
    let _ = heard;
    let written = written
        .lock()
        .unwrap()
        .iter()
        .map(|stream| stream.lock().unwrap().clone())
        .collect();
    Ok((relayed.judged, written))
}

fn compare(judged: &[Judged], written: &[Vec<u8>]) {
    let mut admitted = judged.iter().filter_map(|judged| match judged {
        Judged::Admitted(method, path, query) => {
            let target = match query {
                Some(query) => [path.as_bytes(), b"?", query].concat(),
                None => path.clone().into_bytes(),
            };
            Some((method.as_bytes(), target))
        }
        Judged::Refused => None,
    });
    for stream in written {
        let seen = PEERS.map(|peer| peer.read(stream).requests);
        let longest = seen
            .iter()
            .max_by_key(|requests| requests.len())
            .expect("three");
        for requests in &seen {
            // One that refuses, or hands over, sees less; never other ones.
            assert_eq!(
                requests[..],
                longest[..requests.len()],
                "{}",
                stream.escape_ascii()
            );
        }
        for request in longest {
            assert!(
                admitted
                    .any(|(method, target)| method == request.method && target == request.target),
                "{} {} was not admitted, or not in its turn: {}",
                request.method.escape_ascii(),
                request.target.escape_ascii(),
                stream.escape_ascii()
            );
            says_who(request);
        }
    }
}

fn says_who(request: &Request) {
    let of = |wanted: &[u8]| {
        let fields = request.fields.iter();
        fields
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(b"x-forwarded-client-cert"), [b"By=us"]);
    assert_eq!(of(b"host").len(), 1);
}

/// A service that answers each request that one of three parsers has seen whole, and now and then one that is not.
struct Service {
    stream: Arc<Mutex<Vec<u8>>>,
    /// How many bytes it has looked at.
    seen: usize,
    answered: usize,
    answer: Vec<u8>,
    waiting: Option<Waker>,
}

impl Service {
    /// Answers what has been written since the last time, if somebody would.
    fn look(&mut self) {
        let stream = self.stream.lock().unwrap();
        if stream.len() == self.seen {
            return;
        }
        self.seen = stream.len();
        let all = PEERS.map(|peer| peer.read(&stream));
        let whole = all
            .iter()
            .map(|seen| seen.requests.len())
            .max()
            .unwrap_or_default();
        let answer: &[u8] = if whole > self.answered {
            let longest = all.iter().find(|seen| seen.requests.len() == whole);
            let last = longest.and_then(|seen| seen.requests.last());
            let to_head = last.is_some_and(|request| request.method == b"HEAD");
            match stream.len() % 5 {
                _ if to_head => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
                0 => b"HTTP/1.1 204 No Content\r\n\r\n",
                1 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                2 => b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                3 => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            }
        } else if all.iter().all(|seen| seen.ended == Ended::Rejected) {
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        } else if whole == self.answered && stream.ends_with(b"!") {
            // Before the request is whole.
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly"
        } else {
            return;
        };
        self.answered += 1;
        self.answer.extend_from_slice(answer);
    }
}

impl AsyncRead for Service {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.answer.is_empty() {
            self.look();
        }
        if self.answer.is_empty() {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = self.answer.len().min(into.remaining());
        into.put_slice(&self.answer[..count]);
        self.answer.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Service {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.lock().unwrap().extend_from_slice(bytes);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
