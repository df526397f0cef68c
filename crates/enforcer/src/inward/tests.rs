use std::io::{Read, Write};
use std::net::TcpListener;

use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// What a call that does not wait never takes, whatever else the machine does.
const WAITED: Duration = Duration::from_secs(5);
/// Enough for a call that does not wait to say so.
const MOMENT: Duration = Duration::from_millis(100);
/// Times 64 KiB: what no socket buffers.
const MORE_THAN_FITS: usize = 4096;

fn socket() -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    TcpStream::from(socket)
}

/// A connection, the launcher's hold on its near end, and its far end.
async fn connected(shared: bool) -> (Inward, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = socket();
    let held = socket.try_clone().unwrap();
    let place = listener.local_addr().unwrap();
    let inward = Inward::connect(socket, place, shared).await.unwrap();
    assert_eq!(inward.peer_addr().unwrap(), place);
    let (far, from) = listener.accept().unwrap();
    assert_eq!(inward.local_addr().unwrap(), from);
    (inward, held, far)
}

/// Lets a call that waits after all go on, so that the test fails instead of hanging.
fn rescue(go_on: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        std::thread::sleep(2 * WAITED);
        go_on();
    });
}

#[tokio::test]
async fn carries_bytes_both_ways_and_their_end() {
    let (mut inward, _held, mut far) = connected(false).await;
    inward.write_all(b"ask").await.unwrap();
    let parts = [io::IoSlice::new(b", "), io::IoSlice::new(b"again")];
    assert_eq!(inward.write_vectored(&parts).await.unwrap(), 7);
    inward.shutdown().await.unwrap();
    let mut asked = String::new();
    far.read_to_string(&mut asked).unwrap();
    assert_eq!(asked, "ask, again");
    far.write_all(b"answer").unwrap();
    drop(far);
    let mut answer = String::new();
    inward.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

#[tokio::test]
async fn says_refused_when_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    drop(listener);
    let refused = Inward::connect(socket(), place, false).await;
    let kind = refused.err().unwrap().kind();
    assert_eq!(kind, io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn connecting_does_not_wait_on_a_socket_that_waits() {
    let full = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&full, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let full = TcpListener::from(full);
    let place = full.local_addr().unwrap();
    // Its queue has room for one; what comes then is not answered.
    let _first = TcpStream::connect(place).unwrap();
    rescue(move || drop(full));
    let began = Instant::now();
    for _ in 0..2 {
        let socket = socket();
        socket.set_nonblocking(false).unwrap();
        let _unanswered = timeout(MOMENT, Inward::connect(socket, place, true)).await;
    }
    assert!(began.elapsed() < WAITED, "waited {:?}", began.elapsed());
}

#[tokio::test]
async fn reading_does_not_wait_for_what_the_launcher_took() {
    let (mut inward, mut held, mut far) = connected(true).await;
    far.write_all(b"x").unwrap();
    // The runtime is told that there is something; then the launcher takes it, and lets calls wait.
    inward
        .socket
        .as_ref()
        .unwrap()
        .readable()
        .await
        .unwrap()
        .retain_ready();
    held.set_nonblocking(false).unwrap();
    held.read_exact(&mut [0]).unwrap();
    rescue(move || drop(far.write_all(b"y")));
    let began = Instant::now();
    let read = timeout(MOMENT, inward.read(&mut [0])).await;
    assert!(
        began.elapsed() < WAITED && read.is_err(),
        "waited {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn writing_does_not_wait_for_room() {
    let (mut inward, held, far) = connected(true).await;
    held.set_nonblocking(false).unwrap();
    let mut hold = far.try_clone().unwrap();
    rescue(move || drop(io::copy(&mut hold, &mut io::sink())));
    let began = Instant::now();
    let written = timeout(MOMENT, async {
        for _ in 0..MORE_THAN_FITS {
            inward.write_all(&[0; 65_536]).await.unwrap();
        }
    });
    let full = written.await;
    assert!(
        began.elapsed() < WAITED && full.is_err(),
        "waited {:?}",
        began.elapsed()
    );
    drop(far);
}

#[tokio::test]
async fn writing_parts_does_not_wait_for_room() {
    let (mut inward, held, far) = connected(true).await;
    held.set_nonblocking(false).unwrap();
    let mut hold = far.try_clone().unwrap();
    rescue(move || drop(io::copy(&mut hold, &mut io::sink())));
    let (began, part) = (Instant::now(), [0; 32_768]);
    let written = timeout(MOMENT, async {
        for _ in 0..MORE_THAN_FITS {
            let parts = [io::IoSlice::new(&part), io::IoSlice::new(&part)];
            assert!(inward.write_vectored(&parts).await.unwrap() > 0);
        }
    });
    let full = written.await;
    assert!(
        began.elapsed() < WAITED && full.is_err(),
        "waited {:?}",
        began.elapsed()
    );
    drop(far);
}

#[tokio::test]
async fn closing_does_not_wait_for_the_other_end() {
    let (mut inward, held, far) = connected(true).await;
    // Full, and nobody reads: what is queued is never delivered.
    let full = timeout(MOMENT, async {
        for _ in 0..MORE_THAN_FITS {
            inward.write_all(&[0; 65_536]).await.unwrap();
        }
    });
    full.await.unwrap_err();
    sockopt::set_socket_linger(&held, Some(Duration::from_secs(60_000))).unwrap();
    drop(held);
    let mut hold = far.try_clone().unwrap();
    rescue(move || drop(io::copy(&mut hold, &mut io::sink())));
    let began = Instant::now();
    drop(inward);
    assert!(began.elapsed() < WAITED, "waited {:?}", began.elapsed());
    drop(far);
}
