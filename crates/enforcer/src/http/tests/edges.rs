//! What the relay waits for and what it tells, with the bounds that hold outside tests.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::super::gate::Ended;
use super::super::limits::{
    ANSWER_TIMEOUT, DIAL_TIMEOUT, EARLY_TIMEOUT, HEAD_TIMEOUT, IDLE_TIMEOUT, LINGER_TIMEOUT,
    STALL_TIMEOUT, Timeouts, WHAT_MAX,
};
use super::harness::{Scene, counting, refused};
use crate::testing::{Stopped, until};

const REFUSED: &str = "GET /forbidden HTTP/1.1\r\nHost: svc\r\n\r\n";

/// `HEAD_TIMEOUT`, `EARLY_TIMEOUT`, `DIAL_TIMEOUT`, `STALL_TIMEOUT`: what the client hears then, and not before.
#[tokio::test]
async fn each_wait_of_a_request_ends_in_an_answer_when_its_time_is_over() {
    let get = "GET /a HTTP/1.1\r\nHost: svc\r\n\r\n";
    let post = "POST /judged HTTP/1.1\r\nHost: svc\r\nContent-Length: 10\r\n\r\n12345";
    let silent = async || {
        Scene::new(|wire, _| async move {
            let _kept = wire;
            std::future::pending::<()>().await;
        })
        .await
    };
    let nowhere = Scene::without_service(Timeouts::STANDARD, None).await;
    for (mut scene, said, bound, status) in [
        (silent().await, &get[..20], HEAD_TIMEOUT, "408"),
        (silent().await, post, EARLY_TIMEOUT, "408"),
        (nowhere, get, DIAL_TIMEOUT, "504"),
        (silent().await, get, STALL_TIMEOUT, "504"),
    ] {
        scene.client.say(said).await;
        let time = Stopped::now();
        // A connection to a service takes time that is real.
        for _ in 0..50 {
            std::thread::sleep(Duration::from_micros(200));
            tokio::task::yield_now().await;
        }
        time.pass(bound - Duration::from_millis(1)).await;
        let early = scene.client.0.try_read(&mut [0; 9]);
        assert!(early.is_err(), "{status} before {bound:?}");
        time.pass(Duration::from_millis(2)).await;
        let mut answer = String::new();
        until("the answer", || {
            let mut bytes = [0; 999];
            let count = scene.client.0.try_read(&mut bytes).unwrap_or(0);
            answer += &String::from_utf8_lossy(&bytes[..count]);
            answer.ends_with('}')
        })
        .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

/// `IDLE_TIMEOUT`.
#[tokio::test]
async fn an_idle_connection_is_closed_when_its_time_is_over() {
    let mut scene = Scene::new(counting).await;
    let time = Stopped::now();
    time.pass(IDLE_TIMEOUT / 2).await;
    scene.client.say(REFUSED).await;
    scene.client.exactly(refused(false).len()).await;
    time.ends_after(IDLE_TIMEOUT, scene.relay()).await;
    assert_eq!(scene.ended().await, Ended::Idle);
}

/// `ANSWER_TIMEOUT`, of who does not send the body of a refused request. What drips does not prolong it.
#[tokio::test]
async fn the_body_of_a_refused_request_is_waited_for_so_long_and_no_longer() {
    let mut scene = Scene::new(counting).await;
    let post = "POST /forbidden HTTP/1.1\r\nHost: svc\r\nContent-Length: 10\r\n\r\n";
    scene.client.say(post).await;
    scene.client.exactly(refused(false).len()).await;
    let time = Stopped::now();
    time.pass(ANSWER_TIMEOUT / 2).await;
    scene.client.say("12345").await;
    time.ends_after(ANSWER_TIMEOUT / 2, scene.relay()).await;
    assert_eq!(scene.ended().await, Ended::ClientGone);
}

#[tokio::test]
async fn the_body_of_a_refused_request_that_comes_just_in_time_leaves_the_connection_alive() {
    let mut scene = Scene::new(counting).await;
    let post = "POST /forbidden HTTP/1.1\r\nHost: svc\r\nContent-Length: 10\r\n\r\n";
    scene.client.say(post).await;
    scene.client.exactly(refused(false).len()).await;
    let time = Stopped::now();
    time.pass(ANSWER_TIMEOUT - Duration::from_millis(1)).await;
    scene.client.say("1234567890").await;
    time.pass(Duration::ZERO).await;
    scene.client.say(REFUSED).await;
    scene.client.exactly(refused(false).len()).await;
}

/// `ANSWER_TIMEOUT`, of who does not take our answers.
#[tokio::test]
async fn a_client_that_takes_no_answers_is_cut_in_time() {
    let scene = Scene::with_little_room().await;
    let client = &scene.client.0;
    let time = Stopped::now();
    let many = REFUSED.repeat(500);
    let (mut sent, mut took) = (0, Instant::now());
    until("it stops to answer", || {
        let count = client.try_write(&many.as_bytes()[sent..]).unwrap_or(0);
        sent = (sent + count) % many.len();
        if count > 0 {
            took = Instant::now();
        }
        // What is only late comes within that: the kernel waits 200 ms before it asks again whether there is room.
        took.elapsed() > Duration::from_secs(1)
    })
    .await;
    time.ends_after(ANSWER_TIMEOUT, scene.relay()).await;
    assert_eq!(scene.ended().await, Ended::ClientGone);
}

/// `LINGER_TIMEOUT`: however much the client goes on saying.
#[tokio::test]
async fn a_closing_connection_is_read_for_so_long_and_no_longer() {
    let mut scene = Scene::new(counting).await;
    scene.client.say("what is this\r\n\r\n").await;
    assert!(scene.client.all().await.contains("connection: close"));
    let time = Stopped::now();
    for _ in 0..4 {
        time.pass(LINGER_TIMEOUT / 5).await;
        scene.client.say("and this").await;
    }
    time.ends_after(LINGER_TIMEOUT / 5, scene.relay()).await;
    assert_eq!(scene.ended().await, Ended::Malformed);
}

/// `WHAT_MAX`, of a request that can be read and of one that cannot.
#[tokio::test]
async fn what_is_told_of_an_unreadable_request_is_cut_where_it_is_too_long() {
    for (length, whole) in [(WHAT_MAX, true), (WHAT_MAX + 1, false)] {
        // A path with dots in it is refused; so is one whose head is none.
        let dots = format!("/{}/..", "p".repeat(length - "GET //..".len()));
        let line = format!("GET /{}", "p".repeat(length - "GET /".len()));
        for (request, what) in [
            (
                format!("GET {dots} HTTP/1.1\r\nHost: svc\r\n\r\n"),
                format!("GET {dots}"),
            ),
            (format!("{line}\r\nHost: svc\r\n\r\n"), line),
        ] {
            let mut scene = Scene::new(counting).await;
            scene.client.say(&request).await;
            scene.client.read_until("}").await;
            let entries = scene.gate.entries();
            let told = entries[0].strip_prefix("malformed ").unwrap();
            let (told, _reason) = told.split_once(": ").unwrap();
            assert_eq!(told, &what[..WHAT_MAX.min(length)]);
            assert_eq!(told == what, whole, "{length}");
            scene.client.0.shutdown().await.unwrap();
        }
    }
}
