//! What requests hold beyond what a connection may hold by itself is lent by their compartment, and given back.

use std::time::Duration;

use ringfence_wire::http2::Violation;

use super::super::gate::Ended;
use super::super::limits::{CONNECTION_WINDOW, STREAM_WINDOW};
use super::harness::{DATA, END_HEADERS, HEADERS, Peer, SOON, Scene, block, frame, request};

const WINDOW: u16 = 4;
const STREAMS: u16 = 3;

/// Waits until as many bytes are lent as are `wanted`.
async fn lent(scene: &Scene, wanted: std::ops::RangeInclusive<usize>) {
    let looks = async {
        while !wanted.contains(&scene.gate.lent()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, looks)
        .await
        .unwrap_or_else(|_| panic!("{} are lent", scene.gate.lent()));
}

#[tokio::test]
async fn heads_wait_for_the_service_while_there_is_memory_for_them() {
    let mut scene = Scene::with_memory(100_000).await;
    // It bears one stream at a time.
    let mut service = scene.warm_with(&[], &[(STREAMS, 1)]).await;
    lent(&scene, 0..=0).await;
    let long = "x".repeat(15_000);
    scene.client.asks(3, "GET", "/first").await;
    assert!(service.next().await.contains(":path=/first"));
    let mut waiting = 0;
    let mut id = 5;
    let refused = loop {
        let head = request("GET", "/waits", &[("long", &long)]);
        let before = scene.gate.lent();
        scene.client.headers(id, &head, true).await;
        let asked = tokio::time::timeout(Duration::from_millis(300), scene.client.next()).await;
        match asked {
            Ok(said) => break said,
            Err(_) => waiting += 1,
        }
        assert!(scene.gate.lent() >= before + 15_000, "it is lent nothing");
        id += 2;
        assert!(waiting < 20, "all of them wait");
    };
    assert_eq!(refused, format!("{id} reset 7"));
    let full = "no memory for stream".to_owned();
    assert_eq!(scene.gate.entries().last(), Some(&full));
    assert!((3..=6).contains(&waiting), "{waiting}");
    // What waited goes on as the service has room, and holds nothing then.
    for up in 0..waiting {
        let up = 3 + 2 * up;
        service
            .headers(up, &block(&[(":status", "204")]), true)
            .await;
        assert!(scene.client.next().await.contains(":status=204"));
        assert!(service.next().await.contains(":path=/waits"));
    }
    lent(&scene, 0..=0).await;
}

/// As many bytes of data as a peer may send over `streams` streams, of which nobody takes any.
async fn fill(client: &mut Peer, streams: u32, bytes: u32) {
    let mut left = bytes;
    for nth in 0..streams {
        let id = 3 + 2 * nth;
        let head = request("POST", "/", &[]);
        let mut all = frame(HEADERS, END_HEADERS, id, &head);
        let mut room = STREAM_WINDOW.min(left);
        left -= room;
        while room > 0 {
            let part = room.min(16_384);
            all.extend(frame(DATA, 0, id, &vec![b'x'; part as usize]));
            room -= part;
        }
        client.bytes(&all).await;
    }
}

#[tokio::test]
async fn the_window_of_a_connection_is_wide_where_there_is_memory_for_it() {
    let more = CONNECTION_WINDOW - STREAM_WINDOW;
    // Half stays for what cannot do without.
    for (memory, wide) in [(2 * more as usize, true), (2 * more as usize - 1, false)] {
        let mut scene = Scene::with_memory(memory).await;
        let mut service = scene.warm_with(&[], &[(WINDOW, 0)]).await;
        let reading = tokio::spawn(async move { service.until_gone().await });
        let most = if wide {
            CONNECTION_WINDOW
        } else {
            STREAM_WINDOW
        };
        fill(&mut scene.client, most.div_ceil(STREAM_WINDOW), most).await;
        let most = if wide { more as usize } else { 0 };
        lent(&scene, most..=most).await;
        scene.client.silence().await;
        let gate = std::sync::Arc::clone(&scene.gate);
        let over = frame(HEADERS, END_HEADERS, 201, &request("POST", "/", &[]));
        scene.client.bytes(&over).await;
        scene.client.data(201, b"x", false).await;
        let (_, ended) = scene.broken().await;
        assert_eq!(ended, Ended::Violation(Violation::WindowExceeded));
        assert_eq!(gate.lent(), 0);
        reading.await.unwrap();
    }
}

#[tokio::test]
async fn a_narrow_window_is_given_back_as_it_is_taken() {
    let mut scene = Scene::with_memory(4000).await;
    let mut service = scene.warm().await;
    scene.client.begins(3, "POST", "/").await;
    assert!(service.next().await.starts_with("3 headers "));
    service.window(0, 1 << 30).await;
    service.window(3, 1 << 30).await;
    scene.client.all = true;
    let (mut stream, mut connection) = (STREAM_WINDOW, STREAM_WINDOW);
    for _ in 0..100 {
        while stream.min(connection) < 10_000 {
            let said = scene.client.next().await;
            match *said.split(' ').collect::<Vec<_>>() {
                ["0", "window", more] => connection += more.parse::<u32>().unwrap(),
                ["3", "window", more] => stream += more.parse::<u32>().unwrap(),
                _ => assert!(said.starts_with("settings"), "{said}"),
            }
        }
        scene.client.data(3, &[b'x'; 10_000], false).await;
        assert_eq!(service.next().await.len(), "3 data ".len() + 10_000);
        (stream, connection) = (stream - 10_000, connection - 10_000);
    }
}

#[tokio::test]
async fn trailers_wait_behind_data_while_there_is_memory_for_them() {
    let long = "x".repeat(10_000);
    for memory in [30_000, 5_000] {
        let mut scene = Scene::with_memory(memory).await;
        let mut service = scene.warm_with(&[(WINDOW, 1)], &[(WINDOW, 1)]).await;
        // Those of a request.
        scene.client.begins(3, "POST", "/").await;
        assert!(service.next().await.starts_with("3 headers "));
        scene.client.data(3, b"12", false).await;
        assert_eq!(service.next().await, "3 data 1");
        scene.client.headers(3, &block(&[("a", &long)]), true).await;
        if memory == 5_000 {
            assert_eq!(scene.client.next().await, "3 reset 11");
            assert_eq!(service.next().await, "3 reset 8");
        } else {
            lent(&scene, 10_000..=10_020).await;
            service.window(3, 1).await;
            assert_eq!(service.next().await, "3 data 2");
            assert!(service.next().await.starts_with("3 headers a=x"));
            lent(&scene, 0..=0).await;
        }
        // Those of an answer; what has nothing before it does not wait.
        for (id, data) in [(5, "1"), (7, "12")] {
            scene.client.asks(id, "GET", "/").await;
            assert!(service.next().await.starts_with(&format!("{id} headers ")));
            service.answers(id).await;
            service.data(id, data.as_bytes(), false).await;
            service.headers(id, &block(&[("a", &long)]), true).await;
            assert!(scene.client.next().await.contains(" headers :status"));
            assert_eq!(scene.client.next().await, format!("{id} data 1"));
            if id == 7 && memory == 5_000 {
                assert_eq!(scene.client.next().await, "7 reset 2");
                assert_eq!(service.next().await, "7 reset 8");
                continue;
            }
            if id == 7 {
                lent(&scene, 10_000..=10_020).await;
                scene.client.window(7, 1).await;
                assert_eq!(scene.client.next().await, "7 data 2");
            }
            assert!(
                scene
                    .client
                    .next()
                    .await
                    .starts_with(&format!("{id} headers a=x"))
            );
        }
        lent(&scene, 0..=0).await;
    }
}
