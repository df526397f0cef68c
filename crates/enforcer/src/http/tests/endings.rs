//! How connections end: in time, when revoked, and when one side breaks off.

use std::io::ErrorKind;

use tokio::io::AsyncReadExt;

use super::super::gate::Ended;
use super::super::limits::Timeouts;
use super::super::session::relay;
use super::harness::{Diary, QUICK, Scene, counted, counting, own};

const GET: &str = "GET /a HTTP/1.1\r\nHost: svc\r\n\r\n";

fn was_reset<T: std::fmt::Debug>(result: std::io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn revocation_in_the_middle_of_an_answer_resets_both_sides() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
            .await;
        let (more, _) = wire.rest().await;
        assert_eq!(more, "");
    })
    .await;
    scene.client.say(GET).await;
    scene.client.read_until("abc").await;
    scene.gate.revoke();
    was_reset(scene.client.rest().await.1);
    assert_eq!(scene.ended().await, Ended::Revoked);
}

#[tokio::test]
async fn revocation_cuts_an_idle_connection_and_one_that_never_spoke() {
    let mut scene = Scene::new(counting).await;
    scene.client.say(GET).await;
    scene.client.exactly(counted(0, 0).len()).await;
    scene.gate.revoke();
    was_reset(scene.client.rest().await.1);
    assert_eq!(scene.ended().await, Ended::Revoked);

    let mut scene = Scene::new(counting).await;
    scene.gate.revoke();
    was_reset(scene.client.rest().await.1);
    assert_eq!(scene.ended().await, Ended::Revoked);
}

#[tokio::test]
async fn revocation_while_dialling_and_while_waiting_for_the_answer() {
    let mut scene = Scene::without_service(Timeouts::STANDARD, None).await;
    scene.client.say(GET).await;
    scene.client.silence().await;
    scene.gate.revoke();
    was_reset(scene.client.rest().await.1);
    assert_eq!(scene.ended().await, Ended::Revoked);

    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.until_gone().await;
    })
    .await;
    scene.client.say(GET).await;
    scene.client.silence().await;
    scene.gate.revoke();
    was_reset(scene.client.rest().await.1);
    assert_eq!(scene.ended().await, Ended::Revoked);
}

#[tokio::test]
async fn an_answer_cut_short_does_not_look_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
    ] {
        let mut scene = Scene::new(move |mut wire, _| async move {
            wire.head().await;
            wire.say(answer).await;
        })
        .await;
        scene.client.say(GET).await;
        was_reset(scene.client.rest().await.1);
        assert_eq!(scene.ended().await, Ended::UpstreamBroke, "{answer}");
    }
}

#[tokio::test]
async fn a_service_that_resets_an_open_ended_answer_is_not_taken_for_its_end() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.0 200 OK\r\n\r\nabc").await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        wire.0.set_zero_linger().unwrap();
    })
    .await;
    scene
        .client
        .say("GET /a HTTP/1.0\r\nHost: svc\r\n\r\n")
        .await;
    was_reset(scene.client.rest().await.1);
    assert_eq!(scene.ended().await, Ended::UpstreamBroke);
}

#[tokio::test]
async fn a_client_that_breaks_off_its_request_takes_the_service_side_with_it() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        let (body, _) = wire.rest().await;
        assert_eq!(body, "abc");
    })
    .await;
    scene
        .client
        .say("POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    scene.client.silence().await;
    assert_eq!(scene.leave().await, Ended::ClientGone);
}

#[tokio::test]
async fn a_client_that_resets_while_the_service_thinks_is_noticed() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.until_gone().await;
    })
    .await;
    scene.client.say(GET).await;
    scene.client.silence().await;
    scene.client.0.set_zero_linger().unwrap();
    let Scene { client, .. } = &mut scene;
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let placeholder = tokio::net::TcpStream::connect(elsewhere.local_addr().unwrap())
        .await
        .unwrap();
    drop(std::mem::replace(&mut client.0, placeholder));
    assert_eq!(scene.ended().await, Ended::ClientGone);
}

#[tokio::test]
async fn a_head_that_takes_too_long_is_408() {
    let mut scene = Scene::within(QUICK, None, counting).await;
    scene.client.say("GET /a HTTP/1.1\r\nHo").await;
    let expected = own(
        "408 Request Timeout",
        "request not complete in time",
        true,
        true,
    );
    assert_eq!(scene.client.all().await, expected);
    assert_eq!(
        scene.gate.entries(),
        ["malformed GET /a HTTP/1.1: request head not complete in time"]
    );
    assert_eq!(scene.leave().await, Ended::HeadTimeout);
}

#[tokio::test]
async fn bytes_that_drip_do_not_prolong_the_time_for_a_head() {
    let mut scene = Scene::within(QUICK, None, counting).await;
    scene.client.say("GET /a HTTP/1.1\r\nX: ").await;
    let started = std::time::Instant::now();
    let mut answer = [0; 12];
    loop {
        let dripped = tokio::time::timeout(
            std::time::Duration::from_millis(20),
            scene.client.0.read_exact(&mut answer),
        )
        .await;
        if let Ok(read) = dripped {
            read.unwrap();
            break;
        }
        scene.client.say("x").await;
        assert!(started.elapsed() < QUICK.head * 10);
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn an_idle_connection_is_closed_quietly() {
    let mut scene = Scene::within(QUICK, None, counting).await;
    scene.client.say(GET).await;
    scene.client.exactly(counted(0, 0).len()).await;
    assert_eq!(scene.client.all().await, "");
    assert_eq!(scene.ended().await, Ended::Idle);
}

#[tokio::test]
async fn an_exchange_without_movement_is_504_before_the_answer_and_cut_after() {
    let mut scene = Scene::within(QUICK, None, |mut wire, _| async move {
        wire.head().await;
        wire.until_gone().await;
    })
    .await;
    scene.client.say(GET).await;
    assert_eq!(
        scene.client.all().await,
        own(
            "504 Gateway Timeout",
            "service did not answer in time",
            true,
            true
        )
    );
    assert_eq!(scene.leave().await, Ended::Stalled);

    let mut scene = Scene::within(QUICK, None, |mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await;
        wire.until_gone().await;
    })
    .await;
    scene.client.say(GET).await;
    was_reset(scene.client.rest().await.1);
    assert_eq!(scene.ended().await, Ended::Stalled);
}

#[tokio::test]
async fn an_exchange_that_moves_now_and_then_is_not_stalled() {
    let mut scene = Scene::within(QUICK, None, |mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
            .await;
        for _ in 0..8 {
            tokio::time::sleep(QUICK.stall / 4).await;
            wire.say("x").await;
        }
    })
    .await;
    scene.client.say(GET).await;
    scene.client.head().await;
    assert_eq!(scene.client.exactly(8).await, "xxxxxxxx");
}

/// A relay's future is held for every open connection; this is what an idle one costs besides its sockets.
#[test]
fn a_relay_is_small() {
    fn size_of_future<F>(_: impl FnOnce(tokio::net::TcpStream, &'static Diary) -> F) -> usize {
        size_of::<F>()
    }
    let size = size_of_future(relay);
    assert!(size <= 2048, "{size} bytes");
}
