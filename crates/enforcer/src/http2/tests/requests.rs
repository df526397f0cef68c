//! What goes on, what comes back, and what is refused of a single stream.

use super::super::gate::Ended;
use super::harness::{DATA, END_HEADERS, HEADERS, Scene, block, call, request, sent_on};

#[tokio::test]
async fn a_request_goes_on_decided_and_written_anew_and_its_answer_comes_back() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    let asked = request(
        "POST",
        "/%61/b?q=1",
        &[
            ("x-forwarded-client-cert", "URI=spiffe://zone/agent/root"),
            ("Client-Cert".to_ascii_lowercase().as_str(), "x"),
            ("x-id", "7"),
        ],
    );
    scene.client.headers(3, &asked, false).await;
    scene.client.data(3, b"hel", false).await;
    scene.client.data(3, b"lo", true).await;
    let head = service.next().await;
    assert_eq!(
        head,
        format!("3 headers {}", sent_on("POST", "/a/b?q=1", "x-id=7"))
    );
    let mut body = String::new();
    while !body.ends_with("end") {
        body += &service.next().await.replace("3 data ", "");
    }
    assert_eq!(body, "hello end");
    let answer = block(&[(":status", "200"), ("server", "s")]);
    service.headers(3, &answer, false).await;
    service.data(3, b"hi", false).await;
    assert_eq!(scene.client.next().await, "3 headers :status=200 server=s");
    assert_eq!(scene.client.next().await, "3 data hi");
    service
        .headers(3, &block(&[("x-sum", "1"), ("content-length", "9")]), true)
        .await;
    assert_eq!(scene.client.next().await, "3 headers x-sum=1 end");
    assert_eq!(
        scene.gate.entries(),
        ["allow GET /", "dial", "allow POST /a/b"]
    );
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn a_refused_stream_is_answered_while_its_neighbour_goes_on() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    scene.client.asks(3, "GET", "/slow").await;
    assert!(service.next().await.starts_with("3 headers "));
    scene.client.begins(5, "POST", "/forbidden").await;
    assert_eq!(
        scene.client.next().await,
        "5 headers :status=403 content-type=application/json content-length=43"
    );
    assert_eq!(
        scene.client.next().await,
        "5 data {\"error\":\"refused by policy\",\"retry\":false} end"
    );
    assert_eq!(scene.client.next().await, "5 reset 0");
    // Data that crossed our reset.
    scene.client.data(5, b"late", true).await;
    service.silence().await;
    service
        .headers(3, &block(&[(":status", "200")]), true)
        .await;
    assert_eq!(scene.client.next().await, "3 headers :status=200 end");
}

#[tokio::test]
async fn a_refused_call_gets_permission_denied() {
    let mut scene = Scene::grpc().await;
    let mut service = scene.warm().await;
    scene.client.headers(3, &call("/b.Svc/Do"), false).await;
    assert_eq!(
        scene.client.next().await,
        "3 headers :status=200 content-type=application/grpc grpc-status=7 \
         grpc-message=refused by policy end"
    );
    assert_eq!(scene.client.next().await, "3 reset 0");
    scene.client.headers(5, &call("/a.Svc/Stream"), false).await;
    assert!(service.next().await.contains("te=trailers"));
    for (path, kind) in [
        ("/a.Svc/Do", "application/json"),
        ("/a.Svc/Do/x", "application/grpc"),
    ] {
        let id = if kind == "application/json" { 7 } else { 9 };
        let no_call = request("POST", path, &[("content-type", kind)]);
        scene.client.headers(id, &no_call, true).await;
        let status = if id == 7 { "415" } else { "400" };
        let said = scene.client.next().await;
        assert!(
            said.starts_with(&format!("{id} headers :status={status} ")),
            "{said}"
        );
        assert!(scene.client.next().await.ends_with(" end"));
    }
    // Server streaming, with trailers.
    let head = block(&[(":status", "200"), ("content-type", "application/grpc")]);
    service.headers(3, &head, false).await;
    assert!(scene.client.next().await.starts_with("5 headers "));
    for message in ["one", "two"] {
        service.data(3, message.as_bytes(), false).await;
        assert_eq!(scene.client.next().await, format!("5 data {message}"));
        scene.client.data(5, message.as_bytes(), false).await;
        assert_eq!(service.next().await, format!("3 data {message}"));
    }
    service
        .headers(3, &block(&[("grpc-status", "0")]), true)
        .await;
    assert_eq!(scene.client.next().await, "5 headers grpc-status=0 end");
    // Half-closed: the client may go on.
    scene.client.data(5, b"bye", true).await;
    assert_eq!(service.next().await, "3 data bye end");
}

#[tokio::test]
async fn a_body_that_is_judged_is_read_first() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    scene
        .client
        .headers(
            3,
            &request("POST", "/judged/1", &[("expect", "100-continue")]),
            false,
        )
        .await;
    assert_eq!(scene.client.next().await, "3 headers :status=100");
    scene.client.begins(5, "POST", "/judged/2").await;
    scene.client.data(3, b"goo", false).await;
    scene.client.data(5, b"ev", false).await;
    service.silence().await;
    scene.client.data(5, b"il", true).await;
    assert!(
        scene
            .client
            .next()
            .await
            .starts_with("5 headers :status=403")
    );
    assert!(scene.client.next().await.starts_with("5 data "));
    scene.client.data(3, b"d", true).await;
    assert_eq!(
        service.next().await,
        format!("3 headers {}", sent_on("POST", "/judged/1", ""))
    );
    assert_eq!(service.next().await, "3 data good end");
    assert_eq!(
        scene.gate.entries()[2..],
        [
            "ask POST /judged/1",
            "ask POST /judged/2",
            "deny POST /judged/2",
            "allow POST /judged/1"
        ]
    );
}

#[tokio::test]
async fn a_malformed_message_costs_its_stream_alone() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    let bad: &[&[(&str, &str)]] = &[
        // Order, doubles, unknown and missing pseudo-header fields.
        &[
            (":method", "GET"),
            ("a", "b"),
            (":path", "/"),
            (":scheme", "http"),
        ],
        &[
            (":method", "GET"),
            (":method", "GET"),
            (":path", "/"),
            (":scheme", "http"),
            (":authority", "svc"),
        ],
        &[
            (":method", "GET"),
            (":path", "/"),
            (":scheme", "http"),
            (":authority", "svc"),
            (":protocol", "websocket"),
        ],
        &[(":method", "GET"), (":path", "/"), (":authority", "svc")],
        &[
            (":method", "GET"),
            (":path", ""),
            (":scheme", "http"),
            (":authority", "svc"),
        ],
        &[
            (":method", "GET"),
            (":path", "/"),
            (":scheme", "http"),
            (":authority", "svc"),
            ("Up", "x"),
        ],
        &[
            (":method", "GET"),
            (":path", "/"),
            (":scheme", "http"),
            (":authority", "svc"),
            ("connection", "close"),
        ],
        &[
            (":method", "GET"),
            (":path", "/"),
            (":scheme", "http"),
            (":authority", "svc"),
            ("te", "gzip"),
        ],
        &[
            (":method", "GET"),
            (":path", "/"),
            (":scheme", "http"),
            (":authority", "svc"),
            ("host", "other"),
        ],
        &[
            (":method", "GET"),
            (":path", "/"),
            (":scheme", "http"),
            (":authority", "svc"),
            ("a", "b\r\nc: d"),
        ],
    ];
    let mut id = 3;
    for fields in bad {
        scene.client.headers(id, &block(fields), true).await;
        assert_eq!(
            scene.client.next().await,
            format!("{id} reset 1"),
            "{fields:?}"
        );
        id += 2;
    }
    // Understood, and refused by a status.
    for (fields, status) in [
        (request("CONNECT", "/", &[]), 400),
        (request("GET", "/../a", &[]), 400),
        (request("GET", "/a%2fb", &[]), 400),
        (request("GET", "*", &[]), 400),
        (request("GET", "/", &[("x-original-url", "/b")]), 400),
        (request("GET", "/", &[("x-a", "1"), ("x_a", "2")]), 400),
        (request("GET", "/", &[("expect", "200-maybe")]), 417),
        (request("GET", "/ok", &[]), 204),
    ] {
        scene.client.headers(id, &fields, true).await;
        if status == 204 {
            assert!(service.next().await.starts_with("3 headers "));
            service
                .headers(3, &block(&[(":status", "204")]), true)
                .await;
        }
        let said = scene.client.next().await;
        assert!(
            said.starts_with(&format!("{id} headers :status={status}")),
            "{said}"
        );
        if status != 204 {
            assert!(scene.client.next().await.ends_with(" end"));
        }
        id += 2;
    }
    service.silence().await;
}

#[tokio::test]
async fn more_or_less_body_than_announced_ends_the_stream() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    let announced = request("POST", "/", &[("content-length", "3")]);
    scene.client.headers(3, &announced, false).await;
    scene.client.data(3, b"four", true).await;
    assert!(service.next().await.starts_with("3 headers "));
    assert_eq!(scene.client.next().await, "3 reset 1");
    assert_eq!(service.next().await, "3 reset 8");
    scene.client.headers(5, &announced, false).await;
    scene.client.data(5, b"2", true).await;
    assert!(service.next().await.starts_with("5 headers "));
    assert_eq!(scene.client.next().await, "5 reset 1");
    assert_eq!(service.next().await, "5 reset 8");
    scene.client.asks(7, "GET", "/").await;
    assert!(service.next().await.starts_with("7 headers "));
    let answer = block(&[(":status", "200"), ("content-length", "3")]);
    service.headers(7, &answer, false).await;
    service.data(7, b"12", true).await;
    assert!(scene.client.next().await.starts_with("7 headers "));
    assert_eq!(scene.client.next().await, "7 reset 2");
    assert_eq!(service.next().await, "7 reset 1");
}

#[tokio::test]
async fn trailers_of_a_request_go_on_unless_fields_were_judged() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    for (id, path) in [(3, "/"), (5, "/judged"), (7, "/seen")] {
        scene
            .client
            .headers(id, &request("POST", path, &[]), false)
            .await;
        scene.client.data(id, b"x", false).await;
        scene
            .client
            .headers(id, &block(&[("x-sum", "1"), ("authorization", "me")]), true)
            .await;
        assert!(service.next().await.starts_with(&format!("{id} headers ")));
        if id == 3 {
            assert_eq!(service.next().await, "3 data x");
            assert_eq!(service.next().await, "3 headers x-sum=1 end");
        } else {
            let mut body = String::new();
            while !body.ends_with(" end") {
                body += &service.next().await.replace(&format!("{id} data "), "");
            }
            assert_eq!(body, "x end");
        }
    }
}

#[tokio::test]
async fn a_header_block_in_many_frames_is_one() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    let whole = request("GET", "/long", &[("a", "b")]);
    let (first, rest) = whole.split_at(10);
    scene.client.say(HEADERS, 1, 3, first).await;
    scene.client.say(9, 0, 3, &[]).await;
    scene.client.say(9, END_HEADERS, 3, rest).await;
    assert_eq!(
        service.next().await,
        format!("3 headers {} end", sent_on("GET", "/long", "a=b"))
    );
    // Padding and priority are read over.
    let mut padded = vec![4, 0, 0, 0, 0, 15];
    padded.extend_from_slice(&request("POST", "/padded", &[]));
    padded.extend_from_slice(&[0; 4]);
    scene
        .client
        .say(HEADERS, END_HEADERS | 8 | 0x20, 5, &padded)
        .await;
    scene
        .client
        .say(DATA, 1 | 8, 5, &[2, b'h', b'i', 0, 0])
        .await;
    assert!(service.next().await.contains(":path=/padded"));
    assert_eq!(service.next().await, "5 data hi end");
}
