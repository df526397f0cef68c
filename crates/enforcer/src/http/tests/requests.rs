//! Requests one after another: what is let through, what is refused, and that neither disturbs the other.

use tokio::io::AsyncWriteExt;

use super::super::gate::Ended;
use super::super::limits::Timeouts;
use super::harness::{QUICK, Scene, counted, counting, own, refused};

const GET: &str = "GET /a HTTP/1.1\r\nHost: svc\r\n\r\n";

#[tokio::test]
async fn sends_the_canonical_form_and_nothing_of_the_clients_claims() {
    let mut scene = Scene::new(|mut wire, _| async move {
        let head = wire.head().await;
        assert_eq!(
            head,
            "GET /a%2Bb/c?q=%2e HTTP/1.1\r\nhost: SVC:8080\r\nAccept: */*\r\n\
             x-forwarded-client-cert: URI=spiffe://zone/agent/a\r\n\r\n"
        );
        wire.say("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nServer: x\r\n\r\nok")
            .await;
    })
    .await;
    let request = "GET /%61%2bb/c?q=%2e HTTP/1.1\r\nHost: SVC:8080\r\nX_Forwarded_Client_Cert: URI=spiffe://zone/agent/b\r\n\
                   Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nAccept: */*\r\n\r\n";
    scene.client.say(request).await;
    assert_eq!(
        scene.client.head().await,
        "HTTP/1.1 200 Fine\r\nServer: x\r\ncontent-length: 2\r\n\r\n"
    );
    assert_eq!(scene.client.exactly(2).await, "ok");
    assert_eq!(scene.gate.entries(), ["allow GET /a%2Bb/c", "dial"]);
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn sends_the_authority_of_the_endpoint_that_was_dialled() {
    let authorities = Some(["first.example.com", "second.example.com"]);
    let mut scene = Scene::within(Timeouts::STANDARD, authorities, |mut wire, _| async move {
        for _ in 0..2 {
            let head = wire.head().await;
            assert!(head.contains("\r\nhost: second.example.com\r\n"), "{head}");
            assert!(!head.contains("first"), "{head}");
            wire.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    for _ in 0..2 {
        scene.client.say(GET).await;
        assert_eq!(scene.client.head().await, "HTTP/1.1 204 No Content\r\n\r\n");
    }
}

#[tokio::test]
async fn keeps_one_connection_to_the_service_for_many_requests() {
    let mut scene = Scene::new(counting).await;
    for request in 0..5 {
        scene.client.say(GET).await;
        assert_eq!(
            scene.client.read_until(&format!("0.{request}")).await,
            counted(0, request)
        );
    }
    assert_eq!(
        scene.gate.entries().iter().filter(|e| *e == "dial").count(),
        1
    );
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn answers_pipelined_requests_in_order_and_refuses_only_the_refused() {
    let mut scene = Scene::new(counting).await;
    let forbidden = "POST /forbidden HTTP/1.1\r\nHost: svc\r\nContent-Length: 5\r\n\r\nhello";
    let with_body = "POST /b HTTP/1.1\r\nHost: svc\r\nContent-Length: 3\r\n\r\nabc";
    scene
        .client
        .say(&format!("{GET}{forbidden}{with_body}{forbidden}{GET}"))
        .await;
    scene.client.0.shutdown().await.unwrap();
    let expected = [counted(0, 0), refused(false), counted(0, 1), refused(false)].concat();
    let all = scene.client.all().await;
    assert_eq!(all.get(..expected.len()), Some(expected.as_str()), "{all}");
    // The client has closed its side, so the last answer says that this is the end.
    assert!(all.ends_with("\r\n\r\n1.0"), "{all}");
    assert_eq!(
        scene.gate.entries(),
        [
            "allow GET /a",
            "dial",
            "deny POST /forbidden",
            "allow POST /b",
            "deny POST /forbidden",
            "allow GET /a",
            "dial"
        ]
    );
    assert_eq!(scene.ended().await, Ended::Finished);
}

#[tokio::test]
async fn the_way_requests_are_cut_up_makes_no_difference() {
    let forbidden = "POST /forbidden HTTP/1.1\r\nHost: svc\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST /b HTTP/1.1\r\nHost: svc\r\nContent-Length: 3\r\n\r\nabc";
    let talk = format!("{forbidden}{GET}{chunked}{GET}");
    let expected = [refused(false), counted(0, 0), counted(0, 1), counted(1, 0)].concat();
    for step in [1, 2, 3, 7, 50, 100] {
        let mut scene = Scene::new(counting).await;
        scene.client.0.set_nodelay(true).unwrap();
        for piece in talk.as_bytes().chunks(step) {
            scene.client.0.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(
            scene.client.exactly(expected.len()).await,
            expected,
            "in steps of {step}"
        );
    }
}

#[tokio::test]
async fn a_refused_request_reaches_no_service() {
    let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
    scene
        .client
        .say("DELETE /forbidden/x HTTP/1.1\r\nHost: svc\r\n\r\n")
        .await;
    assert_eq!(
        scene.client.exactly(refused(false).len()).await,
        refused(false)
    );
    scene
        .client
        .say("HEAD /forbidden HTTP/1.1\r\nHost: svc\r\n\r\n")
        .await;
    let head = scene.client.head().await;
    assert!(refused(false).starts_with(&head), "{head}");
    scene.client.silence().await;
    assert_eq!(
        scene.gate.entries(),
        ["deny DELETE /forbidden/x", "deny HEAD /forbidden"]
    );
    assert_eq!(scene.gate.counted(), (0, 0));
}

#[tokio::test]
async fn a_request_that_cannot_be_recorded_is_not_sent() {
    let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
    scene
        .client
        .say("GET /unrecorded HTTP/1.1\r\nHost: svc\r\n\r\n")
        .await;
    let expected = own(
        "503 Service Unavailable",
        "temporarily unavailable",
        true,
        false,
    );
    assert_eq!(scene.client.exactly(expected.len()).await, expected);
}

#[tokio::test]
async fn another_authority_looks_like_any_refusal() {
    let mut scene = Scene::new(counting).await;
    scene
        .client
        .say("GET /a HTTP/1.1\r\nHost: other\r\n\r\n")
        .await;
    assert_eq!(
        scene.client.exactly(refused(false).len()).await,
        refused(false)
    );
    scene.client.say(GET).await;
    assert_eq!(
        scene.client.exactly(counted(0, 0).len()).await,
        counted(0, 0)
    );
    assert_eq!(
        scene.gate.entries(),
        [
            "malformed GET /a: authority other is not this service's",
            "allow GET /a",
            "dial"
        ]
    );
}

#[tokio::test]
async fn path_tricks_are_refused_before_any_decision() {
    for path in [
        "/a/../b",
        "/%2e%2e/b",
        "/a//b",
        "/a;x",
        "/a%2fb",
        "/a\\b",
        "/%",
        "/%00",
        "/\u{e4}",
    ] {
        let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
        scene
            .client
            .say(&format!("GET {path} HTTP/1.1\r\nHost: svc\r\n\r\n"))
            .await;
        let expected = own("400 Bad Request", "malformed request", false, false);
        assert_eq!(
            scene.client.exactly(expected.len()).await,
            expected,
            "{path}"
        );
        let entries = scene.gate.entries();
        assert!(
            entries.len() == 1 && entries[0].starts_with("malformed GET /"),
            "{entries:?}"
        );
    }
}

#[tokio::test]
async fn a_long_refused_body_ends_the_connection_behind_the_answer() {
    for framing in [
        "Content-Length: 100000000",
        "Transfer-Encoding: chunked",
        "Content-Length: 5\r\nExpect: 100-continue",
    ] {
        let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
        scene
            .client
            .say(&format!(
                "POST /forbidden HTTP/1.1\r\nHost: svc\r\n{framing}\r\n\r\n"
            ))
            .await;
        assert_eq!(
            scene.client.exactly(refused(true).len()).await,
            refused(true),
            "{framing}"
        );
        assert_eq!(scene.client.all().await, "");
        assert_eq!(scene.leave().await, Ended::RefusedBody);
    }
}

#[tokio::test]
async fn a_client_that_goes_on_sending_still_sees_why_it_was_refused() {
    let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
    scene
        .client
        .say("POST /forbidden HTTP/1.1\r\nHost: svc\r\nContent-Length: 30000000\r\n\r\n")
        .await;
    let block = "x".repeat(1_000_000);
    for _ in 0..30 {
        scene.client.say(&block).await;
    }
    assert_eq!(scene.client.all().await, refused(true));
    assert_eq!(scene.leave().await, Ended::RefusedBody);
}

#[tokio::test]
async fn the_longest_body_that_is_skipped_leaves_the_connection_alive() {
    let mut scene = Scene::new(counting).await;
    let body = "x".repeat(65_536);
    scene
        .client
        .say(&format!(
            "POST /forbidden HTTP/1.1\r\nHost: svc\r\nContent-Length: 65536\r\n\r\n{body}{GET}"
        ))
        .await;
    let expected = [refused(false), counted(0, 0)].concat();
    assert_eq!(scene.client.exactly(expected.len()).await, expected);
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_gets_the_answer() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    })
    .await;
    scene.client.say(GET).await;
    scene.client.0.shutdown().await.unwrap();
    assert_eq!(
        scene.client.all().await,
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    );
    assert_eq!(scene.ended().await, Ended::Finished);
}

#[tokio::test]
async fn connection_close_and_http_1_0_end_after_one_answer() {
    for request in [
        "GET /a HTTP/1.1\r\nHost: svc\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.0\r\nHost: svc\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let mut scene = Scene::new(counting).await;
        scene.client.say(&format!("{request}{GET}")).await;
        assert_eq!(
            scene.client.all().await,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n0.0"
        );
        assert_eq!(scene.gate.entries(), ["allow GET /a", "dial"]);
        assert_eq!(scene.leave().await, Ended::Finished);
    }
}

#[tokio::test]
async fn dials_again_when_the_service_has_closed_between_requests() {
    let mut scene = Scene::new(|mut wire, nth| async move {
        wire.head().await;
        wire.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{nth}"
        ))
        .await;
    })
    .await;
    for nth in 0..3 {
        scene.client.say(GET).await;
        scene.client.head().await;
        assert_eq!(scene.client.exactly(1).await, nth.to_string());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(
        scene.gate.entries().iter().filter(|e| *e == "dial").count(),
        3
    );
}

#[tokio::test]
async fn a_service_that_says_close_is_dialled_again() {
    let mut scene = Scene::new(|mut wire, nth| async move {
        wire.head().await;
        wire.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{nth}"
        ))
        .await;
        let (more, _) = wire.rest().await;
        assert_eq!(more, "");
    })
    .await;
    for nth in 0..2 {
        scene.client.say(GET).await;
        assert_eq!(
            scene.client.head().await,
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"
        );
        assert_eq!(scene.client.exactly(1).await, nth.to_string());
    }
}

#[tokio::test]
async fn never_sends_a_request_twice() {
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = seen.clone();
    let mut scene = Scene::new(move |mut wire, _| {
        let count = count.clone();
        async move {
            wire.head().await;
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    })
    .await;
    let unavailable = own("502 Bad Gateway", "service not available", true, false);
    scene.client.say(GET).await;
    assert_eq!(scene.client.exactly(unavailable.len()).await, unavailable);
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 1);
    // The connection is still good for another try, which is the client's to make.
    scene.client.say(GET).await;
    assert_eq!(scene.client.exactly(unavailable.len()).await, unavailable);
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_502_and_one_that_hangs_504() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let mut scene = Scene::without_service(QUICK, Some(nobody)).await;
    let expected = own("502 Bad Gateway", "service not available", true, false);
    scene
        .client
        .say(&format!(
            "POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 3\r\n\r\nabc{GET}"
        ))
        .await;
    let twice = [expected.as_str(); 2].concat();
    assert_eq!(scene.client.exactly(twice.len()).await, twice);

    let mut scene = Scene::without_service(QUICK, None).await;
    scene.client.say(GET).await;
    let expected = own(
        "504 Gateway Timeout",
        "service did not answer in time",
        true,
        false,
    );
    assert_eq!(scene.client.exactly(expected.len()).await, expected);
}

#[tokio::test]
async fn dials_again_when_the_service_closes_while_the_next_request_is_arriving() {
    let mut scene = Scene::new(|mut wire, nth| async move {
        wire.head().await;
        wire.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{nth}"
        ))
        .await;
    })
    .await;
    let (start, end) = GET.split_at(10);
    scene.client.say(&format!("{GET}{start}")).await;
    assert!(
        scene
            .client
            .read_until("\r\n\r\n0")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    scene.client.silence().await;
    scene.client.say(end).await;
    assert!(
        scene
            .client
            .read_until("\r\n\r\n1")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn lets_go_of_a_service_that_closes_while_nothing_is_asked() {
    let (gone, seen) = tokio::sync::oneshot::channel();
    let gone = std::sync::Mutex::new(Some(gone));
    let mut scene = Scene::new(move |mut wire, _| {
        let gone = gone.lock().unwrap().take();
        async move {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0")
                .await;
            wire.0.shutdown().await.unwrap();
            assert_eq!(wire.all().await, "");
            gone.unwrap().send(()).unwrap();
        }
    })
    .await;
    scene.client.say(GET).await;
    scene.client.read_until("\r\n\r\n0").await;
    tokio::time::timeout(super::harness::SOON, seen)
        .await
        .unwrap()
        .unwrap();
    scene.client.silence().await;
}
