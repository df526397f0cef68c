//! Back-pressure, end to end.

use std::time::Duration;

use ringfence_wire::http2::Violation;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::super::gate::Ended;
use super::super::limits::{
    BLOCK_IN_TURN, CONNECTION_WINDOW, FRAMES_PER_TURN, OUT_HARD, STREAM_WINDOW, WRITE_STALL,
};
use super::harness::{DATA, END_HEADERS, HEADERS, PING, QUICK, Scene, block, frame, request};

const WINDOW: u16 = 4;

#[tokio::test]
async fn no_more_is_read_than_the_other_side_takes() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm_with(&[], &[(WINDOW, 10)]).await;
    scene.client.begins(3, "POST", "/").await;
    assert!(service.next().await.starts_with("3 headers "));
    scene.client.data(3, &[b'x'; 16_000], false).await;
    assert_eq!(service.next().await, "3 data xxxxxxxxxx");
    service.silence().await;
    // A neighbour is not held up by it.
    scene.client.begins(5, "POST", "/").await;
    scene.client.data(5, b"12345", true).await;
    assert!(service.next().await.starts_with("5 headers "));
    assert_eq!(service.next().await, "5 data 12345 end");
    service.window(3, 3).await;
    assert_eq!(service.next().await, "3 data xxx");
    // What nobody has taken is not given back.
    scene.client.all = true;
    let mut sent = 16_000;
    while sent + 16_000 <= STREAM_WINDOW {
        scene.client.data(3, &[b'x'; 16_000], false).await;
        sent += 16_000;
    }
    service.window(3, 100_000).await;
    service.window(0, 100_000).await;
    let mut taken = 13;
    while taken < sent {
        let data = service.next().await;
        taken += u32::try_from(data.len() - "3 data ".len()).unwrap();
    }
    loop {
        let said = scene.client.next().await;
        if let Some(more) = said.strip_prefix("3 window ") {
            assert!(more.parse::<u32>().unwrap() >= STREAM_WINDOW / 2, "{said}");
            break;
        }
        assert!(!said.contains("reset") && said != "end", "{said}");
    }
}

#[tokio::test]
async fn an_answer_waits_for_its_client_and_its_end_comes_last() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm_with(&[(WINDOW, 4)], &[]).await;
    scene.client.asks(3, "GET", "/").await;
    assert!(service.next().await.starts_with("3 headers "));
    service.answers(3).await;
    service.data(3, b"123456", false).await;
    service.headers(3, &block(&[("x-sum", "6")]), true).await;
    assert_eq!(scene.client.next().await, "3 headers :status=200");
    assert_eq!(scene.client.next().await, "3 data 1234");
    scene.client.silence().await;
    scene.client.settings(&[(WINDOW, 5)]).await;
    assert_eq!(scene.client.next().await, "3 data 5");
    scene.client.window(3, 1).await;
    assert_eq!(scene.client.next().await, "3 data 6");
    assert_eq!(scene.client.next().await, "3 headers x-sum=6 end");
}

#[tokio::test]
async fn streams_wait_where_the_service_bears_fewer() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm_with(&[], &[(3, 1)]).await;
    scene.client.asks(3, "GET", "/1").await;
    scene.client.begins(5, "POST", "/2").await;
    scene.client.data(5, b"body", true).await;
    assert!(service.next().await.contains(":path=/1"));
    service.silence().await;
    service
        .headers(3, &block(&[(":status", "204")]), true)
        .await;
    assert!(service.next().await.contains(":path=/2"));
    assert_eq!(service.next().await, "5 data body end");
    assert!(scene.client.next().await.starts_with("3 headers "));
}

/// Requests that the service takes nothing of, and as much data behind each as its window has room for.
fn uploads(count: u32, last: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for nth in 0..count {
        let id = 3 + 2 * nth;
        bytes.extend(frame(HEADERS, END_HEADERS, id, &request("POST", "/", &[])));
        let whole = if nth + 1 == count {
            last
        } else {
            STREAM_WINDOW as usize
        };
        for part in vec![b'x'; whole].chunks(16_384) {
            bytes.extend(frame(DATA, 0, id, part));
        }
    }
    bytes
}

#[tokio::test]
async fn more_data_than_the_windows_have_room_for_is_a_breach() {
    let stream = STREAM_WINDOW as usize;
    let connection = CONNECTION_WINDOW as usize;
    let full = connection / stream;
    for (streams, last, held) in [
        (1, stream, true),
        (1, stream + 1, false),
        (full + 1, connection - full * stream, true),
        (full + 1, connection - full * stream + 1, false),
    ] {
        let mut scene = Scene::new().await;
        let mut service = scene.warm_with(&[], &[(WINDOW, 0)]).await;
        let bytes = uploads(u32::try_from(streams).unwrap(), last);
        let reading = tokio::spawn(async move { service.until_gone().await });
        scene.client.bytes(&bytes).await;
        if held {
            scene.client.silence().await;
            assert_eq!(scene.leave().await, Ended::ClientGone);
        } else {
            let (said, ended) = scene.broken().await;
            assert_eq!(ended, Ended::Violation(Violation::WindowExceeded));
            assert!(said.last().unwrap().ends_with(" 3"), "{said:?}");
        }
        let heard = reading.await.unwrap();
        assert!(
            !heard.iter().any(|frame| frame.contains(" data x")),
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn who_reads_nothing_is_read_no_more_and_cut_in_the_end() {
    let mut scene = Scene::within(QUICK, false, true).await;
    scene.client.greet(&[]).await;
    // Each is answered, and nobody takes the answers: what the relay holds of them has a bound.
    let refused = frame(
        HEADERS,
        END_HEADERS | 1,
        1,
        &request("GET", "/forbidden", &[]),
    );
    let mut sent = 0;
    let most = 40 * (OUT_HARD + 16 * 1024 * 1024) / refused.len();
    let stuck = async {
        for nth in 0..most as u32 {
            let mut one = refused.clone();
            one[5..9].copy_from_slice(&(2 * nth + 1).to_be_bytes());
            if scene.client.io.write_all(&one).await.is_err() {
                return;
            }
            sent += 1;
        }
    };
    // It waits for room, until the relay has had enough of it.
    let waited = std::time::Instant::now();
    timeout(Duration::from_secs(60), stuck)
        .await
        .expect("an end");
    assert!(sent < most, "all of {sent} were taken");
    assert!(waited.elapsed() >= QUICK.write);
    assert_eq!(scene.ended().await, Ended::Stalled);
    assert!(WRITE_STALL > QUICK.write);
}

#[tokio::test]
async fn so_many_frames_are_handled_and_others_have_their_turn() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    let (relay, mut client) = Scene::apart().await;
    client.greet(&[]).await;
    let pings = FRAMES_PER_TURN + 100;
    client
        .bytes(&frame(PING, 0, 0, &[0; 8]).repeat(pings))
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.all = true;
    let mut relay = pin!(relay);
    let mut answered = 0;
    let mut turns = 0;
    while answered < pings {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(relay.as_mut().poll(&mut cx).is_pending());
        turns += 1;
        assert!(turns < 1000, "only {answered}");
        let mut here = 0;
        while let Ok(said) = timeout(Duration::from_millis(50), client.next()).await {
            here += usize::from(said == "pong");
        }
        assert!(here <= FRAMES_PER_TURN, "{here} in one turn");
        answered += here;
    }
    assert!(turns >= 2);
    // Requests, behind which there are decisions, count more.
    let requests = 2 * FRAMES_PER_TURN / BLOCK_IN_TURN;
    for nth in 0..requests as u32 {
        let refused = request("GET", "/forbidden", &[]);
        client.headers(2 * nth + 1, &refused, true).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut answered = 0;
    while answered < requests {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(relay.as_mut().poll(&mut cx).is_pending());
        let mut here = 0;
        while let Ok(said) = timeout(Duration::from_millis(50), client.next()).await {
            here += usize::from(said.contains(" headers :status=403"));
        }
        assert!(
            here <= FRAMES_PER_TURN / BLOCK_IN_TURN,
            "{here} in one turn"
        );
        answered += here;
    }
}

#[tokio::test]
async fn a_download_that_nobody_reads_is_held_within_the_windows() {
    let mut scene = Scene::new().await;
    // The client takes all there is, and reads none of it.
    let mut service = scene.warm_with(&[(WINDOW, 0x7fff_ffff)], &[]).await;
    scene.client.window(0, 0x7fff_0000).await;
    scene.client.asks(3, "GET", "/").await;
    assert!(service.next().await.starts_with("3 headers "));
    service.answers(3).await;
    // A service that keeps to the windows that it is given.
    service.all = true;
    let (mut stream, mut connection) = (i64::from(STREAM_WINDOW), i64::from(CONNECTION_WINDOW));
    let mut sent = 0;
    loop {
        while stream.min(connection) >= 16_000 {
            service.data(3, &[b'x'; 16_000], false).await;
            stream -= 16_000;
            connection -= 16_000;
            sent += 16_000;
        }
        match timeout(Duration::from_secs(2), service.next()).await {
            Ok(said) => {
                let words: Vec<_> = said.split(' ').collect();
                if let [id, "window", more] = words[..] {
                    let more: i64 = more.parse().unwrap();
                    if id == "0" {
                        connection += more
                    } else {
                        stream += more
                    }
                }
            }
            Err(_) => break,
        }
        assert!(sent < 64 << 20, "it takes without end");
    }
    // What the kernel holds, it holds; then the stream's window closes.
    assert!(stream < 16_000, "{stream}");
}
