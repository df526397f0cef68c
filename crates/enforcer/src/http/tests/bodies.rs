//! Bodies in every framing, of any size, both ways at once.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::gate::Ended;
use super::harness::{A_WHILE, SOON, Scene, refused};

const CHUNKED: &str = "POST /a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn chunks_go_on_without_extensions_and_with_their_harmless_trailers() {
    let mut scene = Scene::new(|mut wire, _| async move {
        let head = wire.head().await;
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n") && head.contains("\r\nTrailer: X-Sum\r\n"), "{head}");
        assert_eq!(wire.read_until("0\r\nX-Sum: 1\r\n\r\n").await, "3\r\nabc\r\nb\r\nhello world\r\n0\r\nX-Sum: 1\r\n\r\n");
        wire.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n02;x=y\r\nok\r\n000;z\r\nX-Sum: 2\r\nContent-Length: 7\r\n\r\n")
            .await;
    })
    .await;
    let head =
        "POST /a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    scene.client.say(&format!("{head}03;ext=\"a b\"\r\nabc\r\n00B\r\nhello world\r\n0;last\r\nX-Sum: 1\r\nHost: evil\r\n\r\n")).await;
    assert_eq!(
        scene.client.read_until("X-Sum: 2\r\n\r\n").await,
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n"
    );
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn leave_to_continue_is_the_services_to_give() {
    let mut scene = Scene::new(|mut wire, _| async move {
        assert!(wire.head().await.contains("\r\nexpect: 100-continue\r\n"));
        wire.silence().await;
        wire.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(wire.exactly(3).await, "abc");
        // Python's `http.client` takes 103 for the answer, and other clients a second 100.
        wire.say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .await;
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
    })
    .await;
    scene
        .client
        .say("PUT /a HTTP/1.1\r\nHost: svc\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await;
    assert_eq!(scene.client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    scene.client.say("abc").await;
    assert_eq!(
        scene.client.head().await,
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn interim_answers_that_nobody_waits_for_go_no_further() {
    let mut scene = Scene::new(|mut wire, _| async move {
        for _ in 0..2 {
            wire.head().await;
            wire.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
                .await;
            wire.say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
                .await;
            wire.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    for _ in 0..2 {
        scene
            .client
            .say("GET /a HTTP/1.1\r\nHost: svc\r\n\r\n")
            .await;
        assert_eq!(
            scene.client.head().await,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        );
    }
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn an_early_answer_is_passed_on_and_then_the_connection_closes() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            .await;
        let (body, _) = wire.rest().await;
        assert!(body.len() < 100_000);
    })
    .await;
    scene
        .client
        .say("POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 100000\r\n\r\nabc")
        .await;
    assert_eq!(
        scene.client.all().await,
        "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
    );
    assert_eq!(scene.leave().await, Ended::EarlyAnswer);
}

#[tokio::test]
async fn an_early_answer_survives_a_service_that_stops_reading() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            .await;
        wire.0.shutdown().await.unwrap();
        // Stays open without reading, as a server that lingers too briefly does; dropped at the end of the test.
        tokio::time::sleep(SOON).await;
    })
    .await;
    scene
        .client
        .say("POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    let block = vec![b'x'; 100_000];
    // Goes on sending while it can, as simple clients do.
    let (mut reading, mut writing) = scene.client.0.split();
    let sending = async { while writing.write_all(&block).await.is_ok() {} };
    let mut answer = Vec::new();
    tokio::select! {
        () = sending => panic!("reset while sending"),
        read = timeout(SOON, reading.read_to_end(&mut answer)) => drop(read.unwrap().unwrap()),
    }
    assert!(
        answer.ends_with(b"\r\nconnection: close\r\n\r\nno"),
        "{}",
        answer.escape_ascii()
    );
}

#[tokio::test]
async fn head_has_no_body_whatever_the_length_says() {
    let mut scene = Scene::new(|mut wire, _| async move {
        for _ in 0..2 {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                .await;
        }
    })
    .await;
    for _ in 0..2 {
        scene
            .client
            .say("HEAD /a HTTP/1.1\r\nHost: svc\r\n\r\n")
            .await;
        assert_eq!(
            scene.client.head().await,
            "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
        );
    }
    assert_eq!(
        scene.gate.entries().iter().filter(|e| *e == "dial").count(),
        1
    );
}

async fn until_close(mut wire: super::harness::Wire, _: usize) {
    wire.head().await;
    wire.say("HTTP/1.0 200 OK\r\nServer: old\r\n\r\nhello ")
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    wire.say("world").await;
}

#[tokio::test]
async fn a_body_until_close_comes_in_chunks_and_the_client_stays() {
    let mut scene = Scene::new(until_close).await;
    for _ in 0..2 {
        scene
            .client
            .say("GET /a HTTP/1.1\r\nHost: svc\r\n\r\n")
            .await;
        assert_eq!(
            scene.client.read_until("0\r\n\r\n").await,
            "HTTP/1.1 200 OK\r\nServer: old\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"
        );
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks_and_no_interim_answers() {
    let mut scene = Scene::new(until_close).await;
    scene
        .client
        .say("GET /a HTTP/1.0\r\nHost: svc\r\n\r\n")
        .await;
    assert_eq!(
        scene.client.all().await,
        "HTTP/1.1 200 OK\r\nServer: old\r\nconnection: close\r\n\r\nhello world"
    );
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n").await;
    })
    .await;
    scene
        .client
        .say("GET /a HTTP/1.0\r\nHost: svc\r\n\r\n")
        .await;
    assert_eq!(
        scene.client.all().await,
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
    );
}

/// Bytes that show any loss, repetition or mix-up.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect()
}

#[tokio::test]
async fn large_bodies_pass_both_ways_at_once_unchanged() {
    const LENGTH: usize = 24_000_000;
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
        ))
        .await;
        let (mut reading, mut writing) = wire.0.split();
        tokio::io::copy(&mut (&mut reading).take(LENGTH as u64), &mut writing)
            .await
            .unwrap();
    })
    .await;
    scene
        .client
        .say(&format!(
            "POST /echo HTTP/1.1\r\nHost: svc\r\nContent-Length: {LENGTH}\r\n\r\n"
        ))
        .await;
    let sent = pattern(LENGTH);
    let mut head = Vec::new();
    let mut back = vec![0; LENGTH];
    let (mut reading, mut writing) = scene.client.0.split();
    let receive = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(reading.read_u8().await.unwrap());
        }
        reading.read_exact(&mut back).await.unwrap();
    };
    let (wrote, ()) = timeout(SOON * 3, async {
        tokio::join!(writing.write_all(&sent), receive)
    })
    .await
    .unwrap();
    wrote.unwrap();
    assert!(back == sent);
    let (up, down) = scene.gate.counted();
    assert!(up > LENGTH as u64 && up < LENGTH as u64 + 1000, "{up}");
    assert!(
        down > LENGTH as u64 && down < LENGTH as u64 + 1000,
        "{down}"
    );
}

#[tokio::test]
async fn large_chunked_bodies_pass_unchanged_whatever_their_chunks() {
    const LENGTH: usize = 3_000_000;
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        // Undo the chunks with the simplest decoder there is.
        let mut data = Vec::new();
        loop {
            let size = wire.read_until("\r\n").await;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            wire.0.read_exact(&mut chunk).await.unwrap();
            chunk.truncate(size);
            data.extend_from_slice(&chunk);
            if size == 0 {
                break;
            }
        }
        assert!(data == pattern(LENGTH));
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
    })
    .await;
    scene.client.say(CHUNKED).await;
    let data = pattern(LENGTH);
    let mut rest = data.as_slice();
    for size in [
        1usize, 2, 3, 15, 16, 17, 255, 4096, 65_535, 65_536, 65_537, 1_000_000,
    ]
    .into_iter()
    .cycle()
    {
        let (chunk, left) = rest.split_at(size.min(rest.len()));
        rest = left;
        scene.client.say(&format!("{:x}\r\n", chunk.len())).await;
        if chunk.is_empty() {
            scene.client.say("\r\n").await;
            break;
        }
        scene.client.0.write_all(chunk).await.unwrap();
        scene.client.say("\r\n").await;
    }
    assert_eq!(
        scene.client.head().await,
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    );
}

#[tokio::test]
async fn bodies_stream_as_they_come() {
    // Each side says the next thing only when it has seen the last one of the other: whatever is held back, stops all.
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        for _ in 0..3 {
            wire.say("7\r\ndata: x\r\n").await;
            assert_eq!(wire.read_until("seen\r\n").await, "4\r\nseen\r\n");
        }
        assert_eq!(wire.read_until("\r\n\r\n").await, "0\r\n\r\n");
        wire.say("0\r\n\r\n").await;
    })
    .await;
    scene.client.say(CHUNKED).await;
    scene.client.head().await;
    for _ in 0..3 {
        assert_eq!(
            scene.client.read_until("data: x\r\n").await,
            "7\r\ndata: x\r\n"
        );
        scene.client.say("4\r\nseen\r\n").await;
    }
    scene.client.say("0\r\n\r\n").await;
    assert_eq!(scene.client.read_until("0\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_service_that_does_not_read_holds_the_client_back() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        tokio::time::sleep(SOON * 2).await;
    })
    .await;
    scene
        .client
        .say("POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    let block = vec![b'x'; 65_536];
    let mut taken = 0;
    while let Ok(wrote) = timeout(A_WHILE, scene.client.0.write(&block)).await {
        taken += wrote.unwrap();
        assert!(taken < 64_000_000, "nothing holds the client back");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_service_back() {
    let (done, held) = tokio::sync::oneshot::channel();
    let done = std::sync::Mutex::new(Some(done));
    let mut scene = Scene::new(move |mut wire, _| {
        let done = done.lock().unwrap().take();
        async move {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\n\r\n").await;
            let block = vec![b'x'; 65_536];
            let mut given = 0;
            while let Ok(wrote) = timeout(A_WHILE, wire.0.write(&block)).await {
                given += wrote.unwrap();
                assert!(given < 64_000_000, "nothing holds the service back");
            }
            done.unwrap().send(given).unwrap();
        }
    })
    .await;
    scene
        .client
        .say("GET /a HTTP/1.1\r\nHost: svc\r\n\r\n")
        .await;
    assert!(timeout(SOON, held).await.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn unsound_chunks_end_the_request_with_400_and_the_service_sees_no_end_of_it() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        let (body, _) = wire.rest().await;
        assert_eq!(body, "3\r\nabc\r\n");
    })
    .await;
    scene.client.say(&format!("{CHUNKED}3\r\nabc\r\n")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    scene
        .client
        .say("3;\n\r\nabc\r\n0\r\n\r\nGET /a HTTP/1.1\r\nHost: svc\r\n\r\n")
        .await;
    let all = scene.client.all().await;
    assert!(all.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{all}");
    assert_eq!(all.matches("HTTP/1.1").count(), 1);
    assert_eq!(
        scene.gate.entries(),
        [
            "allow POST /a",
            "dial",
            "malformed request body: malformed chunk size"
        ]
    );
    assert_eq!(scene.leave().await, Ended::Malformed);
}

#[tokio::test]
async fn a_refused_request_that_expects_leave_gets_none() {
    let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
    scene.client.say("PUT /forbidden HTTP/1.1\r\nHost: svc\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    assert_eq!(scene.client.all().await, refused(true));
}

#[tokio::test]
async fn an_early_answer_survives_a_service_that_resets_behind_it() {
    let (go, gone) = tokio::sync::oneshot::channel();
    let gone = std::sync::Mutex::new(Some(gone));
    let mut scene = Scene::new(move |mut wire, _| {
        let gone = gone.lock().unwrap().take();
        async move {
            wire.head().await;
            gone.unwrap().await.unwrap();
            // Dropped with bytes unread, which makes the kernel reset the connection.
            wire.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
                .await;
        }
    })
    .await;
    scene
        .client
        .say("POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 100000000\r\n\r\nabc")
        .await;
    scene.client.silence().await;
    go.send(()).unwrap();
    // Ready at once, and the service runs before the relay: the relay finds that it can write no more, and an answer.
    scene.client.say("more").await;
    assert_eq!(
        scene.client.all().await,
        "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
    );
    assert_eq!(scene.leave().await, Ended::EarlyAnswer);
}
