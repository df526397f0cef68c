use std::time::Instant;

use rustix::net::{AddressFamily, SocketType, socket};
use tokio::net::TcpListener;

use super::*;
use crate::testing::{Stopped, address};

const TCP: [Kind; 2] = [Kind::Tcp4, Kind::Tcp6];

fn stock(pool: &Pool, count: usize) {
    for _ in 0..count {
        let four = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let six = socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap();
        pool.put(Kind::Tcp4, four).unwrap();
        pool.put(Kind::Tcp6, six).unwrap();
    }
}

#[tokio::test]
async fn finds_the_workload_where_it_listens() {
    let pool = Pool::new(false);
    stock(&pool, 16);
    // On loopback, and on an address of its own.
    for place in ["127.0.0.1:0", "127.0.77.9:0"] {
        let listener = TcpListener::bind(place).await.unwrap();
        let at = listener.local_addr().unwrap();
        for _ in 0..2 {
            let stream = pool.dial(address(1), address(9), at.port()).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), at);
            assert_eq!(stream.local_addr().unwrap().ip(), address(1).v4);
            assert_eq!(
                listener.accept().await.unwrap().1,
                stream.local_addr().unwrap()
            );
        }
    }
}

#[tokio::test]
async fn tries_first_where_it_was_found_before() {
    let pool = Pool::new(false);
    stock(&pool, 8);
    let listener = TcpListener::bind("127.0.77.9:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    pool.dial(address(1), address(9), port).await.unwrap();
    let before = pool.shelf(Kind::Tcp4).stock().sockets.len();
    pool.dial(address(1), address(9), port).await.unwrap();
    assert_eq!(
        pool.shelf(Kind::Tcp4).stock().sockets.len(),
        before - 1,
        "one socket is enough this time"
    );
}

#[tokio::test]
async fn says_refused_when_nothing_listens() {
    let pool = Pool::new(false);
    stock(&pool, 8);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let cause = pool.dial(address(1), address(9), port).await.unwrap_err();
    assert!(!matches!(cause.kind(), io::ErrorKind::TimedOut), "{cause}");
}

#[tokio::test]
async fn orders_what_is_missing_once() {
    let pool = Pool::new(false);
    let all = INBOUND_POOL as u32;
    assert_eq!(pool.order(TCP), [all, all]);
    assert_eq!(pool.order(TCP), [0, 0], "ordered already");
    stock(&pool, INBOUND_POOL);
    assert_eq!(pool.order(TCP), [0, 0]);
    assert_eq!(pool.order([Kind::Udp4, Kind::Udp6]), [all, all]);
    for _ in 0..INBOUND_POOL / 2 {
        pool.take(Kind::Tcp4).await.unwrap();
    }
    assert_eq!(pool.order(TCP), [all / 2, 0]);
}

#[tokio::test]
async fn asks_for_more_before_it_is_empty() {
    let pool = Pool::new(false);
    pool.order(TCP);
    stock(&pool, INBOUND_POOL);
    let mut low = Box::pin(pool.low());
    for _ in 0..INBOUND_POOL / 2 {
        pool.take(Kind::Tcp4).await.unwrap();
    }
    assert!(
        timeout(std::time::Duration::from_millis(20), &mut low)
            .await
            .is_err()
    );
    pool.take(Kind::Tcp4).await.unwrap();
    timeout(INBOUND_WAIT, low).await.unwrap();
    assert!(pool.shelf(Kind::Tcp4).stock().sockets.len() > 10);
}

#[tokio::test]
async fn waits_for_what_was_ordered_and_all_waiters_are_served() {
    let pool = std::sync::Arc::new(Pool::new(false));
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let pool = std::sync::Arc::clone(&pool);
            tokio::spawn(async move { pool.take(Kind::Tcp4).await.is_ok() })
        })
        .collect();
    tokio::task::yield_now().await;
    stock(&pool, 10);
    for waiter in waiting {
        assert!(waiter.await.unwrap());
    }
}

#[tokio::test]
async fn gives_up_on_a_launcher_that_makes_none_and_orders_again() {
    let pool = Pool::new(false);
    pool.order(TCP);
    let began = Instant::now();
    assert!(pool.take(Kind::Tcp6).await.is_err());
    assert!(began.elapsed() >= INBOUND_WAIT);
    assert_eq!(pool.order(TCP), [0, INBOUND_POOL as u32]);
}

/// `CONNECT_TIMEOUT`: the program that listens there is the one, so no other place is tried.
#[tokio::test]
async fn a_port_that_does_not_answer_is_given_up_in_time() {
    let pool = Arc::new(Pool::new(false));
    stock(&pool, 8);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let full = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&full, &any).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let full = std::net::TcpListener::from(full);
    let port = full.local_addr().unwrap().port();
    // No room for one more that is to be accepted: the kernel leaves it without an answer.
    let _waits = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let elsewhere = std::net::TcpListener::bind(("127.0.77.9", port)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let time = Stopped::now();
    let dialling = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.dial(address(1), address(9), port).await.map(drop) }
    });
    tokio::task::yield_now().await;
    time.ends_after(CONNECT_TIMEOUT, &dialling).await;
    let cause = dialling.await.unwrap().unwrap_err();
    assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
    assert!(elsewhere.accept().is_err());
}

#[test]
fn holds_no_more_than_it_may() {
    let pool = Pool::new(false);
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    for _ in 0..INBOUND_POOL_MAX {
        pool.put(Kind::Tcp4, null()).unwrap();
    }
    assert_eq!(pool.put(Kind::Tcp4, null()), Err(TooMany));
}
