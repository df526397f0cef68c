//! Breaches of the protocol, and floods: the connection ends, with the right code, recorded.

use ringfence_wire::http2::Violation;

use super::super::gate::Ended;
use super::super::limits::{IDLE_FRAMES_AT_ONCE, RESETS_AT_ONCE};
use super::harness::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
    Scene, WINDOW_UPDATE, block, frame, request,
};

/// Says `bytes` after greeting, and gives how the client is told and what is recorded.
async fn after_greeting(bytes: &[u8]) -> (String, Violation) {
    let mut scene = Scene::new().await;
    scene.client.greet(&[]).await;
    scene.client.bytes(bytes).await;
    let gate = std::sync::Arc::clone(&scene.gate);
    let (said, ended) = scene.broken().await;
    let Ended::Violation(violation) = ended else {
        panic!("{ended:?} after {said:?}");
    };
    let record = format!("breach -: {violation}");
    assert_eq!(gate.entries().last(), Some(&record));
    (said.last().unwrap().clone(), violation)
}

#[tokio::test]
async fn a_breach_ends_the_connection_with_its_code() {
    let head = frame(HEADERS, END_HEADERS | 1, 1, &request("GET", "/", &[]));
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/", &[]));
    let with = |first: &[u8], then: Vec<u8>| [first, &then].concat();
    let cases = [
        (frame(DATA, 0, 0, b"x"), 1, Violation::StreamId),
        (frame(DATA, 0, 1, b"x"), 1, Violation::Idle),
        (
            frame(HEADERS, END_HEADERS, 2, &request("GET", "/", &[])),
            1,
            Violation::StreamId,
        ),
        (frame(RST_STREAM, 0, 1, &[0; 4]), 1, Violation::Idle),
        (frame(RST_STREAM, 0, 1, &[0; 3]), 6, Violation::FrameSize),
        (
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            1,
            Violation::Idle,
        ),
        (
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            1,
            Violation::EmptyWindowUpdate,
        ),
        (
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            3,
            Violation::WindowTooLarge,
        ),
        (
            frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
            3,
            Violation::WindowTooLarge,
        ),
        (
            frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]),
            1,
            Violation::Setting,
        ),
        (frame(SETTINGS, 0, 1, &[]), 1, Violation::StreamId),
        (frame(SETTINGS, 1, 0, &[0; 6]), 6, Violation::FrameSize),
        (frame(SETTINGS, 0, 0, &[0; 5]), 6, Violation::FrameSize),
        (
            frame(SETTINGS, 0, 0, &[0; 33 * 6]),
            11,
            Violation::TooManySettings,
        ),
        (frame(PING, 0, 0, &[0; 7]), 6, Violation::FrameSize),
        (frame(PUSH_PROMISE, 4, 1, &[0; 8]), 1, Violation::Push),
        (
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]),
            1,
            Violation::OwnParent,
        ),
        (frame(CONTINUATION, 4, 1, b""), 1, Violation::Interrupted),
        (frame(DATA, 8, 1, &[5, 0]), 1, Violation::Padding),
        (
            vec![0, 0x40, 1, DATA, 0, 0, 0, 0, 1],
            6,
            Violation::FrameSize,
        ),
        (
            with(&frame(HEADERS, 0, 1, b""), frame(PING, 0, 0, &[0; 8])),
            1,
            Violation::Interrupted,
        ),
        (
            with(&frame(HEADERS, 0, 1, b""), frame(CONTINUATION, 4, 3, b"")),
            1,
            Violation::Interrupted,
        ),
        (with(&head, frame(DATA, 0, 1, b"x")), 5, Violation::Closed),
        (with(&head, head.clone()), 5, Violation::Closed),
        (
            with(&open, frame(HEADERS, END_HEADERS, 1, b"")),
            1,
            Violation::Trailers,
        ),
        (
            frame(HEADERS, END_HEADERS, 1, &[0xbf]),
            9,
            Violation::Compression(ringfence_wire::http2::hpack::Unsound::Index),
        ),
    ];
    for (bytes, code, violation) in cases {
        let last = if violation == Violation::Closed || violation == Violation::Trailers {
            1
        } else {
            0
        };
        let (said, ended) = after_greeting(&bytes).await;
        assert_eq!(ended, violation, "{bytes:?}");
        assert_eq!(said, format!("goaway {last} {code}"), "{bytes:?}");
    }
}

#[tokio::test]
async fn what_is_not_http2_is_told_apart_and_recorded() {
    for (first, record) in [
        (
            "GET /a?token=1 HTTP/1.1\r\nHost: svc\r\n\r\n",
            "foreign GET /a: a request of HTTP/1".to_owned(),
        ),
        (
            "\u{16}\u{3}\u{1}",
            "foreign \\x16\\x03\\x01: a TLS handshake".to_owned(),
        ),
        (
            "hello",
            format!("breach unreadable: {}", Violation::Preface),
        ),
    ] {
        let mut scene = Scene::new().await;
        scene.client.bytes(first.as_bytes()).await;
        let gate = std::sync::Arc::clone(&scene.gate);
        let (said, ended) = scene.broken().await;
        assert_eq!(ended, Ended::Violation(Violation::Preface));
        assert_eq!(said.last().unwrap(), "goaway 0 1");
        assert_eq!(gate.entries(), [record]);
    }
    let mut scene = Scene::new().await;
    scene.client.bytes(ringfence_wire::http2::PREFACE).await;
    scene.client.say(PING, 0, 0, &[0; 8]).await;
    assert_eq!(scene.broken().await.1, Ended::Violation(Violation::Preface));
}

#[tokio::test]
async fn floods_of_frames_that_do_nothing_end() {
    let many = IDLE_FRAMES_AT_ONCE as usize + 200;
    for idle in [
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 1, 0, &[]),
        frame(PING, 0, 0, &[0; 8]),
        frame(PRIORITY, 0, 1, &[0; 5]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(77, 0, 0, b"what"),
    ] {
        let (said, ended) = after_greeting(&idle.repeat(many)).await;
        assert_eq!(ended, Violation::Flood, "{idle:?}");
        assert_eq!(said, "goaway 0 11", "{idle:?}");
    }
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/", &[]));
    let empty = frame(DATA, 0, 1, b"").repeat(many);
    let (said, ended) = after_greeting(&[open, empty].concat()).await;
    assert_eq!((said.as_str(), ended), ("goaway 1 11", Violation::Flood));
}

#[tokio::test]
async fn streams_reset_in_rapid_succession_end_the_connection() {
    // By the client's word, and by what it makes us do.
    for provoked in [false, true] {
        let mut bytes = Vec::new();
        for nth in 0..RESETS_AT_ONCE + 100 {
            let id = 2 * nth + 1;
            if provoked {
                let bad = block(&[(":method", "GET")]);
                bytes.extend(frame(HEADERS, END_HEADERS | 1, id, &bad));
            } else {
                let good = request("GET", "/", &[]);
                bytes.extend(frame(HEADERS, END_HEADERS | 1, id, &good));
                bytes.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
            }
        }
        let (said, ended) = after_greeting(&bytes).await;
        assert_eq!(ended, Violation::RapidReset);
        assert!(said.ends_with(" 11"), "{said}");
    }
}

#[tokio::test]
async fn a_window_of_one_stream_that_is_opened_too_far_costs_that_stream() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    for id in [3, 5] {
        let head = request("POST", "/", &[]);
        scene.client.headers(id, &head, false).await;
        assert!(service.next().await.starts_with(&format!("{id} headers ")));
    }
    scene.client.window(3, 0x7fff_ffff).await;
    assert_eq!(scene.client.next().await, "3 reset 3");
    assert_eq!(service.next().await, "3 reset 8");
    scene.client.data(5, b"on", true).await;
    assert_eq!(service.next().await, "5 data on end");
}

#[tokio::test]
async fn header_blocks_without_end_end() {
    let mut many = frame(HEADERS, 1, 1, &request("GET", "/", &[]));
    for _ in 0..17 {
        many.extend(frame(CONTINUATION, 0, 1, b""));
    }
    assert_eq!(after_greeting(&many).await.1, Violation::EndlessBlock);
    let mut large = frame(HEADERS, 1, 1, &request("GET", "/", &[]));
    for _ in 0..4 {
        large.extend(frame(CONTINUATION, 0, 1, &[0; 16_384]));
    }
    assert_eq!(after_greeting(&large).await.1, Violation::EndlessBlock);
}

#[tokio::test]
async fn an_hpack_bomb_is_refused_alone() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    // A field of four kilobytes in the table, named ten thousand times.
    let mut bomb = request("GET", "/", &[]);
    bomb.push(0x40);
    bomb.extend_from_slice(&[1, b'x', 0x7f]);
    bomb.extend_from_slice(&[0xd1, 0x1e]);
    bomb.extend_from_slice(&[b'y'; 4048]);
    bomb.extend_from_slice(&[0xbe; 10_000]);
    scene.client.headers(3, &bomb, true).await;
    let said = scene.client.next().await;
    assert!(said.starts_with("3 headers :status=431"), "{said}");
    assert!(scene.client.next().await.ends_with(" end"));
    scene.client.asks(5, "GET", "/").await;
    assert!(service.next().await.contains(":path=/ "));
}

#[tokio::test]
async fn a_service_that_breaks_the_rules_is_no_more_trusted() {
    let answers: &[(&[(&str, &str)], bool)] = &[
        (&[(":status", "20")], true),
        (&[(":status", "101")], false),
        (&[(":status", "100")], true),
        (&[(":status", "200"), ("connection", "close")], true),
        (&[(":status", "200"), (":path", "/")], true),
        (&[("a", "b")], true),
        (&[(":status", "200"), ("content-length", "x")], true),
        (&[(":status", "204"), ("content-length", "2")], false),
        (&[(":status", "200"), ("content-length", "2")], true),
    ];
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    let mut id = 3;
    for (answer, end) in answers {
        scene
            .client
            .headers(id, &request("GET", "/", &[]), true)
            .await;
        assert!(service.next().await.starts_with(&format!("{id} headers ")));
        service.headers(id, &block(answer), *end).await;
        let said = scene.client.next().await;
        assert!(
            said.starts_with(&format!("{id} headers :status=502")),
            "{answer:?}: {said}"
        );
        assert!(scene.client.next().await.ends_with(" end"));
        assert_eq!(service.next().await, format!("{id} reset 8"));
        id += 2;
    }
    // A breach of frames costs all that is under way, and the client's connection lives on.
    scene
        .client
        .headers(id, &request("GET", "/", &[]), true)
        .await;
    assert!(service.next().await.starts_with(&format!("{id} headers ")));
    service.say(PUSH_PROMISE, 4, id, &[0; 8]).await;
    let said = scene.client.next().await;
    assert!(
        said.starts_with(&format!("{id} headers :status=502")),
        "{said}"
    );
    assert!(scene.client.next().await.ends_with(" end"));
    assert_eq!(service.next().await, "end");
    let last = scene.gate.entries().pop().unwrap();
    assert!(last.contains("pushed stream"), "{last}");
}
