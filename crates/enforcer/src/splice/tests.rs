use std::future::pending;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::limits::RELAY_SHIFT;
use crate::relay::{End, relay};

/// More than the buffers of all sockets on the way hold.
const MUCH: usize = 24 * 1024 * 1024;
const LONG: Duration = Duration::from_secs(60);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// A caller and a service with a relay between them, on this thread.
async fn relayed() -> (TcpStream, TcpStream) {
    let ((caller, mut left), (mut right, service)) = (pair().await, pair().await);
    tokio::spawn(async move {
        let (end, _) = relay(&mut left, &mut right, pending::<String>()).await;
        assert!(matches!(end, End::Finished), "{end:?}");
    });
    (caller, service)
}

/// Bytes whose place and sender can be told.
fn pattern(seed: u8, from: usize, count: usize) -> Vec<u8> {
    (from..from + count)
        .map(|at| (at as u8).wrapping_mul(seed) ^ (at >> 11) as u8)
        .collect()
}

async fn push(mut caller: TcpStream, seed: u8) -> TcpStream {
    for at in (0..MUCH).step_by(1 << 20) {
        caller.write_all(&pattern(seed, at, 1 << 20)).await.unwrap();
    }
    caller.shutdown().await.unwrap();
    caller
}

async fn take(service: &mut TcpStream, seed: u8) {
    let mut all = Vec::new();
    service.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), MUCH);
    assert!(
        all == pattern(seed, 0, MUCH),
        "bytes of {seed} arrived changed"
    );
}

/// One whose receiver takes nothing for a while leaves nothing in the thread's pipe for the other one.
#[tokio::test]
async fn bytes_that_are_stuck_are_no_other_connections() {
    let ((stuck, mut late), (busy, mut prompt)) = (relayed().await, relayed().await);
    let stuck = tokio::spawn(push(stuck, 3));
    let busy = tokio::spawn(push(busy, 5));
    timeout(LONG, take(&mut prompt, 5)).await.unwrap();
    assert!(PIPE.take().is_some(), "the kernel moved nothing");
    timeout(LONG, take(&mut late, 3)).await.unwrap();
    let (_stuck, _busy) = (stuck.await.unwrap(), busy.await.unwrap());
}

/// A call stops at urgent data, and does not say why.
#[tokio::test]
async fn what_is_behind_urgent_data_arrives() {
    let (mut caller, mut service) = relayed().await;
    let sending = tokio::spawn(async move {
        let half = pattern(7, 0, MUCH / 2);
        caller.write_all(&half).await.unwrap();
        caller.writable().await.unwrap();
        while rustix::net::send(&caller, b"!", SendFlags::OOB).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        caller.write_all(&half).await.unwrap();
        caller.shutdown().await.unwrap();
        caller
    });
    let mut all = Vec::new();
    timeout(LONG, service.read_to_end(&mut all))
        .await
        .unwrap()
        .unwrap();
    // The byte itself has no place in the stream, for anybody who does not ask for it there.
    assert_eq!(all.len(), MUCH);
    assert!(
        all == pattern(7, 0, MUCH / 2).repeat(2),
        "bytes arrived changed"
    );
    let _caller = sending.await.unwrap();
}

/// A service that breaks off is known by the next write, and the pipe of the thread is as good as before.
#[tokio::test]
async fn a_receiver_that_is_gone_costs_its_own_connection() {
    let ((mut caller, mut left), (mut right, service)) = (pair().await, pair().await);
    let relaying =
        tokio::spawn(async move { relay(&mut left, &mut right, pending::<String>()).await });
    let pushing = tokio::spawn(async move {
        let chunk = vec![1; 1 << 20];
        while caller.write_all(&chunk).await.is_ok() {}
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(service);
    let (end, _) = timeout(LONG, relaying).await.unwrap().unwrap();
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
    timeout(LONG, pushing).await.unwrap().unwrap();
    let (busy, mut prompt) = relayed().await;
    let busy = tokio::spawn(push(busy, 5));
    timeout(LONG, take(&mut prompt, 5)).await.unwrap();
    let _busy = busy.await.unwrap();
}

/// `RELAY_SHIFT`: so much at once, whether the receiver takes it or not.
#[tokio::test]
async fn no_more_is_moved_at_once_than_was_asked_for() {
    let ((mut caller, left), (right, mut service)) = (pair().await, pair().await);
    let sending = tokio::spawn(async move {
        // Its end is the end of the test: the receiver takes no more at some time.
        let _unless_cut = caller.write_all(&pattern(9, 0, MUCH)).await;
    });
    let (mut kept, mut moved, mut stuck) = (Vec::new(), 0, false);
    while !stuck {
        left.readable().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let step = shift(left.as_fd(), right.as_fd(), RELAY_SHIFT, &mut kept).unwrap();
        assert!(
            step.count + kept.len() <= RELAY_SHIFT,
            "{step:?} {}",
            kept.len()
        );
        (moved, stuck) = (moved + step.count, step.stuck);
    }
    assert!(!kept.is_empty());
    let mut got = vec![0; moved];
    service.read_exact(&mut got).await.unwrap();
    got.extend_from_slice(&kept);
    assert!(
        got == pattern(9, 0, got.len()),
        "bytes changed, or in another order"
    );
    sending.abort();
}
