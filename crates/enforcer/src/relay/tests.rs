use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (near, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn carries_much_both_ways_at_once_and_counts_it() {
    const MUCH: usize = 20 * 1024 * 1024;
    let ((caller, mut left), (mut right, service)) = (pair().await, pair().await);
    let relaying =
        tokio::spawn(async move { relay(&mut left, &mut right, pending::<String>()).await });
    let push = |stream: TcpStream, seed: u8| async move {
        let (mut read, mut write) = stream.into_split();
        let writing = tokio::spawn(async move {
            let chunk: Vec<u8> = (0..65_536u32)
                .map(|at| (at as u8).wrapping_mul(seed))
                .collect();
            for _ in 0..MUCH / chunk.len() {
                write.write_all(&chunk).await.unwrap();
            }
            write.shutdown().await.unwrap();
        });
        let mut all = Vec::new();
        read.read_to_end(&mut all).await.unwrap();
        writing.await.unwrap();
        all
    };
    let (at_caller, at_service) = tokio::join!(push(caller, 3), push(service, 5));
    let expect = |seed: u8, got: &[u8]| {
        assert_eq!(got.len(), MUCH);
        let right = got
            .iter()
            .enumerate()
            .all(|(at, &byte)| byte == (at as u8).wrapping_mul(seed));
        assert!(right, "bytes arrived changed");
    };
    expect(5, &at_caller);
    expect(3, &at_service);
    let (end, moved) = relaying.await.unwrap();
    assert!(matches!(end, End::Finished), "{end:?}");
    assert_eq!(
        moved,
        Moved {
            sent: MUCH as u64,
            received: MUCH as u64
        }
    );
}

#[tokio::test]
async fn passes_on_the_end_of_one_way_while_the_other_goes_on() {
    let ((mut caller, mut left), (mut right, mut service)) = (pair().await, pair().await);
    let relaying =
        tokio::spawn(async move { relay(&mut left, &mut right, pending::<String>()).await });
    caller.write_all(b"question").await.unwrap();
    caller.shutdown().await.unwrap();
    let mut question = Vec::new();
    service.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    service.write_all(b"late answer").await.unwrap();
    drop(service);
    let mut answer = Vec::new();
    caller.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"late answer");
    assert!(matches!(relaying.await.unwrap().0, End::Finished));
}

#[tokio::test]
async fn says_which_side_broke_off() {
    let ((caller, mut left), (mut right, service)) = (pair().await, pair().await);
    let relaying =
        tokio::spawn(async move { relay(&mut left, &mut right, pending::<String>()).await });
    service.set_zero_linger().unwrap();
    drop(service);
    let (end, _) = relaying.await.unwrap();
    assert!(
        matches!(
            end,
            End::Broken {
                side: "service",
                ..
            }
        ),
        "{end:?}"
    );
    drop(caller);
}

#[tokio::test]
async fn moves_nothing_when_it_is_stopped_before_it_begins() {
    let ((mut caller, mut left), (mut right, mut service)) = (pair().await, pair().await);
    caller.write_all(b"too late").await.unwrap();
    let stop = async { "revoked".to_owned() };
    let (end, moved) = relay(&mut left, &mut right, stop).await;
    assert!(matches!(end, End::Stopped(reason) if reason == "revoked"));
    assert_eq!(moved, Moved::default());
    drop(right);
    let mut got = Vec::new();
    service.read_to_end(&mut got).await.unwrap();
    assert!(got.is_empty());
}

#[tokio::test]
async fn stops_in_the_middle() {
    let ((mut caller, mut left), (mut right, mut service)) = (pair().await, pair().await);
    let (stop, stopped) = oneshot::channel::<String>();
    let relaying = tokio::spawn(async move {
        relay(&mut left, &mut right, async { stopped.await.unwrap() }).await
    });
    caller.write_all(b"x").await.unwrap();
    assert_eq!(service.read_u8().await.unwrap(), b'x');
    stop.send("now".to_owned()).unwrap();
    let (end, moved) = timeout(Duration::from_secs(5), relaying)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(end, End::Stopped(_)));
    assert_eq!(moved.sent, 1);
}

impl Side for tokio::io::DuplexStream {
    fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

#[tokio::test]
async fn what_was_read_and_not_sent_yet_does_not_go_on_once_it_is_stopped() {
    let (mut caller, mut caller_end) = tokio::io::duplex(1000);
    let (mut service, mut service_end) = tokio::io::duplex(8);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let relaying =
        tokio::spawn(async move { relay(&mut caller_end, &mut service_end, stopped).await });
    caller.write_all(&[7; 100]).await.unwrap();
    let mut first = [0; 8];
    service.read_exact(&mut first[..1]).await.unwrap();
    // It has 91 bytes more in its hands. Room for them, and the word to stop, come in one moment.
    tokio::task::yield_now().await;
    stop.send(()).unwrap();
    let mut rest = Vec::new();
    service.read_to_end(&mut rest).await.unwrap();
    let (end, moved) = relaying.await.unwrap();
    assert!(matches!(end, End::Stopped(_)), "{end:?}");
    assert!(
        moved.sent <= 9 && rest.len() <= 8,
        "{moved:?} {}",
        rest.len()
    );
}

#[tokio::test]
async fn holds_back_a_caller_whose_service_does_not_read() {
    let ((caller, mut left), (mut right, service)) = (pair().await, pair().await);
    let relaying =
        tokio::spawn(async move { relay(&mut left, &mut right, pending::<String>()).await });
    let mut pushed = 0usize;
    let chunk = vec![0; 1 << 20];
    while let Ok(count) = timeout(Duration::from_millis(300), async {
        caller.writable().await.unwrap();
        loop {
            match caller.try_write(&chunk) {
                Ok(count) => return count,
                Err(_) => caller.writable().await.unwrap(),
            }
        }
    })
    .await
    {
        pushed += count;
        assert!(pushed < 1 << 30, "the relay swallows without bound");
    }
    relaying.abort();
    drop(service);
}

#[test]
fn an_idle_direction_holds_no_buffer() {
    assert_eq!(Direction::default().kept.capacity(), 0);
    assert!(size_of::<Direction>() <= 64, "{}", size_of::<Direction>());
}

/// Notes that it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has more to say than anyone can take, and takes whatever it is told.
#[derive(Default)]
struct Torrent {
    taken: usize,
    reads: Vec<usize>,
}

impl Side for Torrent {
    fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

impl AsyncRead for Torrent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        buffer.put_slice(&vec![b'x'; room]);
        self.reads.push(room);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Torrent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.taken += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// `RELAY_TURN` and `RELAY_CHUNK`: whoever has most to say lets others have their turn, and does not wait for long itself.
#[tokio::test]
async fn each_direction_of_a_torrent_moves_so_much_and_lets_others_have_their_turn() {
    let (mut caller, mut service) = (Torrent::default(), Torrent::default());
    for turn in 1..=3 {
        {
            let mut relaying = std::pin::pin!(relay(&mut caller, &mut service, pending::<()>()));
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let polled = relaying.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            assert!(woken.0.load(Ordering::Relaxed), "nobody calls it again");
        }
        let most = turn * RELAY_TURN * RELAY_CHUNK;
        assert_eq!((caller.taken, service.taken), (most, most));
    }
    assert!(caller.reads.iter().all(|&read| read == RELAY_CHUNK));
}
