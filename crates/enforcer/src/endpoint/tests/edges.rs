//! Endpoints that keep us waiting, driven to the edge of it: then the next one is tried.

use rustix::net::sockopt;

use super::*;
use crate::limits::LOOKUP_TIMEOUT;
use crate::testing::{Stopped, until};

/// Accepts nothing, and has no room for one more that is to be accepted: the kernel leaves it without an answer.
struct Full {
    listener: std::net::TcpListener,
    _waiting: std::net::TcpStream,
}

impl Full {
    fn new() -> Self {
        let any = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap();
        rustix::net::bind(&socket, &any).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let listener = std::net::TcpListener::from(socket);
        let waiting = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self {
            listener,
            _waiting: waiting,
        }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }
}

/// Where connections are accepted by the kernel, and nobody says a word.
fn silent() -> (std::net::TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn plain(port: u16) -> Target {
    Target::new(&endpoint(port, None), Protocol::Tcp, &files(&[])).unwrap()
}

/// Dials both, and gives the place of the one that was found.
fn dial_both(first: Target, second: Target) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let (index, _stream) = dial(&[first, second]).await.unwrap();
        index
    })
}

/// `CONNECT_TIMEOUT`.
#[tokio::test]
async fn an_address_that_does_not_answer_is_given_up_in_time_for_the_next() {
    let (full, (listener, port)) = (Full::new(), silent());
    let time = Stopped::now();
    let dialling = dial_both(plain(full.port()), plain(port));
    tokio::task::yield_now().await;
    time.pass(CONNECT_TIMEOUT - Duration::from_millis(1)).await;
    assert!(listener.accept().is_err(), "not given its time");
    time.pass(Duration::from_millis(2)).await;
    until("the next is dialled", || listener.accept().is_ok()).await;
    assert_eq!(dialling.await.unwrap(), 1);

    // The last one says what it was.
    let dialling = tokio::spawn(async move { dial(&[plain(full.port())]).await.map(drop) });
    tokio::task::yield_now().await;
    time.ends_after(CONNECT_TIMEOUT, &dialling).await;
    let cause = dialling.await.unwrap().unwrap_err();
    assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
    let said = format!("did not connect within {CONNECT_TIMEOUT:?}");
    assert!(cause.to_string().ends_with(&said), "{cause}");
}

/// `HANDSHAKE_TIMEOUT`, which counts from the connection.
#[tokio::test]
async fn an_endpoint_that_does_not_shake_hands_is_given_up_in_time_for_the_next() {
    let ((mute, mute_port), (listener, port)) = (silent(), silent());
    let time = Stopped::now();
    let files = files(&[("ca.pem", &Ca::new().pem)]);
    let declared = endpoint(mute_port, Some(tls("db.internal", None)));
    let first = Target::new(&declared, Protocol::Tcp, &files).unwrap();
    let dialling = dial_both(first, plain(port));
    let mut held = None;
    until("it is dialled", || {
        held = mute.accept().ok();
        held.is_some()
    })
    .await;
    // Its hello has come, so the time for the handshake has begun.
    let (hello, _) = held.unwrap();
    hello.set_nonblocking(true).unwrap();
    until("its hello", || hello.peek(&mut [0]).is_ok()).await;
    time.pass(HANDSHAKE_TIMEOUT - Duration::from_millis(1))
        .await;
    assert!(listener.accept().is_err(), "not given its time");
    time.pass(Duration::from_millis(2)).await;
    until("the next is dialled", || listener.accept().is_ok()).await;
    assert_eq!(dialling.await.unwrap(), 1);
}

/// `LOOKUP_TIMEOUT`, where no thread is free to look: as where a name server is silent.
#[test]
fn a_name_that_does_not_resolve_is_given_up_in_time_for_the_next_endpoint() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (listener, port) = silent();
        // Takes the only thread.
        let time = Stopped::now();
        let named = Endpoint {
            host: EndpointHost::Name(HostName::new("localhost").unwrap()),
            ..endpoint(port, None)
        };
        let target = || Target::new(&named, Protocol::Tcp, &files(&[])).unwrap();
        let dialling = dial_both(target(), plain(port));
        tokio::task::yield_now().await;
        time.pass(LOOKUP_TIMEOUT - Duration::from_millis(1)).await;
        assert!(listener.accept().is_err(), "not given its time");
        time.pass(Duration::from_millis(2)).await;
        until("the next is dialled", || listener.accept().is_ok()).await;
        assert_eq!(dialling.await.unwrap(), 1);

        let last = target();
        let looking = tokio::spawn(async move { last.addresses().await });
        tokio::task::yield_now().await;
        time.ends_after(LOOKUP_TIMEOUT, &looking).await;
        let cause = looking.await.unwrap().unwrap_err();
        let said = format!("localhost did not resolve within {LOOKUP_TIMEOUT:?}");
        assert_eq!(
            (cause.kind(), cause.to_string()),
            (io::ErrorKind::TimedOut, said)
        );
    });
}

/// `ENDPOINT_KEEPALIVE`. How the probes end is the kernel's: nine, 75 s apart, which no test waits for.
#[tokio::test]
async fn the_kernel_is_told_when_to_probe_an_endpoint() {
    let (_listener, port) = silent();
    let (_, stream) = dial(&[plain(port)]).await.unwrap();
    let Stream::Plain(tcp) = &stream else {
        panic!("not plain")
    };
    assert!(sockopt::socket_keepalive(tcp).unwrap());
    assert_eq!(sockopt::tcp_keepidle(tcp).unwrap(), ENDPOINT_KEEPALIVE);
}
