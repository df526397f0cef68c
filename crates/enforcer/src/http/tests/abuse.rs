//! Clients and services that try to be misunderstood.

use super::super::gate::Ended;
use super::harness::{Scene, Wire, answered, counted, counting, own};

const GET: &str = "GET /a HTTP/1.1\r\nHost: svc\r\n\r\n";

#[tokio::test]
async fn smuggling_attempts_are_400_and_the_end() {
    for head in [
        "POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding : chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: 4\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: svc\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: svc\r\nContent-Length: +4\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: svc\r\nHost: other\r\n\r\n",
        "GET http://other/a HTTP/1.1\r\nHost: svc\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: svc\r\nConnection: x-forwarded-client-cert\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: svc\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
        "CONNECT svc:80 HTTP/1.1\r\nHost: svc:80\r\n\r\n",
        "\r\nGET /a HTTP/1.1\r\nHost: svc\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
        "GET /a\r\n",
    ] {
        let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
        let inner = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: svc\r\n\r\n";
        scene.client.say(&format!("{head}{inner}")).await;
        let expected = own("400 Bad Request", "malformed request", false, true);
        assert_eq!(
            scene.client.all().await,
            expected,
            "{}",
            head.escape_debug()
        );
        let entries = scene.gate.entries();
        assert!(
            entries.len() == 1
                && (entries[0].starts_with("malformed ") || head.starts_with('\x16')),
            "{entries:?}"
        );
        assert_eq!(scene.leave().await, Ended::Malformed);
    }
}

#[tokio::test]
async fn unsound_requests_get_the_status_that_fits() {
    let long = "a".repeat(70_000);
    for (request, status) in [
        (
            format!("GET /a HTTP/1.1\r\nHost: svc\r\nX: {long}\r\n\r\n"),
            "431",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: svc\r\n\r\n", &long[..20_000]),
            "414",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: svc\r\nExpect: miracles\r\n\r\n".to_owned(),
            "417",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "505"),
    ] {
        let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
        scene.client.say(&request).await;
        let answer = scene.client.all().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

/// Queries, userinfo and bodies carry secrets, and the log is read by many.
#[tokio::test]
async fn no_secret_of_an_unreadable_request_is_recorded() {
    const SECRET: &str = "hunter2";
    for (sent, shown) in [
        (
            "GET /a?token=hunter2 HTTP/1.1\r\nHost: svc\r\n bad\r\n\r\n",
            "GET /a",
        ),
        ("GET /a#hunter2 HTTP/1.1\r\nHost: svc\r\n\r\n", "GET /a"),
        (
            "GET http://u:hunter2@svc/a HTTP/1.1\r\nHost: svc\r\n\r\n",
            "GET ",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: svc\r\nAuthorization hunter2\r\n\r\n",
            "GET /a HTTP/1.1",
        ),
        ("GET /a hunter2\r\nHost: svc\r\n\r\n", "GET /a"),
        ("AUTH hunter2\r\n\r\n", "AUTH "),
        ("hunter2\r\n\r\n", "unreadable"),
        ("hunter2 /a HTTP/1.1\r\n bad\r\n\r\n", "unreadable"),
        ("password=hunter2&x=1\r\n\r\n", "unreadable"),
        ("{\"password\": \"hunter2\"}\r\n\r\n", "unreadable"),
        (" 1, \"p\":\"hunter2\"}\r\n\r\n", "unreadable"),
        ("my hunter2 is\r\n\r\n", "unreadable"),
        ("key=zhunter2 /a HTTP/1.1\r\n\r\n", "unreadable"),
        ("\x16\x03\x01hunter2\r\n\r\n", "\\x16\\x03\\x01"),
    ] {
        let mut scene = Scene::new(counting).await;
        scene.client.say(sent).await;
        scene.client.rest().await.1.unwrap();
        let entries = scene.gate.entries();
        let word = match sent.starts_with('\x16') {
            true => "foreign",
            false => "malformed",
        };
        let expected = format!("{word} {shown}: ");
        assert!(
            entries.len() == 1 && entries[0].starts_with(&expected) && !entries[0].contains(SECRET),
            "{sent:?}: {entries:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_speaks_something_else_is_told_by_what_it_is() {
    for (sent, entry) in [
        (
            "\x16\x03\x01\x02\0\x01",
            "foreign \\x16\\x03\\x01: a TLS handshake",
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "foreign PRI : the preface of HTTP/2",
        ),
        // It waits for a banner in return, so there will be no more of it.
        (
            "SSH-2.0-OpenSSH_9.2\r\n",
            "foreign SSH-2.0-: the banner of SSH",
        ),
        (
            "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n\r\n",
            "foreign PROXY : a PROXY header",
        ),
        (
            "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
            "foreign : a PROXY header",
        ),
        (
            "hello\r\n\r\n",
            "malformed unreadable: malformed request line",
        ),
        (
            "hello\n",
            "malformed unreadable: line feed without carriage return",
        ),
    ] {
        let mut scene = Scene::new(|_, _| async { panic!("nobody should call") }).await;
        scene.client.say(sent).await;
        assert!(
            scene.client.all().await.starts_with("HTTP/1.1 "),
            "{sent:?}"
        );
        assert_eq!(scene.gate.entries(), [entry]);
        assert_eq!(scene.leave().await, Ended::Malformed);
    }
}

#[tokio::test]
async fn a_head_cut_short_is_recorded() {
    let mut scene = Scene::new(counting).await;
    scene.client.say("GET /a HTTP/1.1\r\nHost: s").await;
    let gate = scene.gate.clone();
    assert_eq!(scene.leave().await, Ended::ClientGone);
    assert_eq!(
        gate.entries(),
        ["malformed GET /a HTTP/1.1: request head cut short"]
    );
}

#[tokio::test]
async fn answers_that_could_be_read_two_ways_are_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 1\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "\x15\x03\x03\x00\x02\x02\x28",
    ] {
        let mut scene = answered(GET, answer).await;
        let expected = own("502 Bad Gateway", "service not available", true, false);
        assert_eq!(
            scene.client.exactly(expected.len()).await,
            expected,
            "{}",
            answer.escape_debug()
        );
        scene.client.silence().await;
        let last = scene.gate.entries().pop();
        assert!(
            last.as_ref()
                .is_some_and(|entry| entry.starts_with("failed ")),
            "{last:?}"
        );
        // The connection that lied is not used again.
        scene.client.say(GET).await;
        assert_eq!(
            scene.client.exactly(counted(1, 0).len()).await,
            counted(1, 0)
        );
    }
}

#[tokio::test]
async fn a_second_answer_that_nobody_asked_for_is_never_delivered() {
    let mut scene = answered(GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
    )
    .await;
    scene.client.head().await;
    assert_eq!(scene.client.exactly(3).await, "one");
    scene.client.say(GET).await;
    assert_eq!(
        scene.client.exactly(counted(1, 0).len()).await,
        counted(1, 0)
    );
}

#[tokio::test]
async fn a_second_answer_that_comes_late_is_never_delivered() {
    let (said, hear) = tokio::sync::oneshot::channel();
    let said = std::sync::Mutex::new(Some(said));
    let mut scene = Scene::new(move |mut wire: Wire, nth| {
        let said = said.lock().unwrap().take();
        async move {
            if nth > 0 {
                return counting(wire, nth).await;
            }
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
                .await;
            tokio::time::sleep(super::harness::A_WHILE).await;
            wire.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned")
                .await;
            said.unwrap().send(()).unwrap();
            wire.until_gone().await;
        }
    })
    .await;
    scene.client.say(GET).await;
    scene.client.read_until("one").await;
    tokio::time::timeout(super::harness::SOON, hear)
        .await
        .unwrap()
        .unwrap();
    scene.client.silence().await;
    scene.client.say(GET).await;
    assert_eq!(
        scene.client.exactly(counted(1, 0).len()).await,
        counted(1, 0)
    );
}

#[tokio::test]
async fn interim_answers_without_end_are_502() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        for _ in 0..40 {
            wire.say("HTTP/1.1 103 Early Hints\r\n\r\n").await;
        }
        wire.until_gone().await;
    })
    .await;
    scene.client.say(GET).await;
    let seen = scene.client.read_until("502 Bad Gateway\r\n").await;
    assert!(!seen.contains("103"), "{seen}");
}

#[tokio::test]
async fn an_endless_answer_head_is_502() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say(&format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(65_536)))
            .await;
        wire.until_gone().await;
    })
    .await;
    scene.client.say(GET).await;
    assert!(scene.client.head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn a_service_cannot_name_other_callers_or_fields_to_strip() {
    let mut scene = answered(GET, "HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert!(scene.client.head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn an_unsound_body_behind_the_start_of_its_answer_resets_the_client() {
    let mut scene = Scene::new(|mut wire, _| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await;
        wire.until_gone().await;
    })
    .await;
    scene
        .client
        .say("POST /a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        .await;
    scene.client.read_until("abc").await;
    scene.client.say("zz\r\n").await;
    let (_, result) = scene.client.rest().await;
    assert_eq!(
        result.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        scene.gate.entries(),
        [
            "allow POST /a",
            "dial",
            "malformed request body: malformed chunk size"
        ]
    );
    assert_eq!(scene.ended().await, Ended::Malformed);
}

/// Like http.server of Python: it leaves the body of a GET unread, and takes it for the next request unless it was
/// told that there is none.
async fn leaves_bodies_unread(mut wire: Wire, nth: usize) {
    loop {
        let mut byte = [0];
        if !matches!(wire.0.peek(&mut byte).await, Ok(1)) {
            return;
        }
        let head = wire.head().await;
        let line = head.lines().next().unwrap_or_default().to_owned();
        let body = format!("{nth} {line}");
        wire.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        if head.contains("\r\nconnection: close\r\n") {
            return wire.until_gone().await;
        }
    }
}

#[tokio::test]
async fn a_body_that_the_service_leaves_unread_is_never_its_next_request() {
    let hidden = "GET /forbidden HTTP/1.1\r\nHost: svc\r\n\r\n";
    let bodies = [
        format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len()),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n",
            hidden.len()
        ),
    ];
    for body in bodies {
        for method in ["GET", "POST", "DELETE"] {
            let mut scene = Scene::new(leaves_bodies_unread).await;
            scene
                .client
                .say("GET /a HTTP/1.1\r\nHost: svc\r\n\r\n")
                .await;
            scene.client.read_until("0 GET /a HTTP/1.1").await;
            scene
                .client
                .say(&format!("{method} /b HTTP/1.1\r\nHost: svc\r\n{body}"))
                .await;
            let end = format!("0 {method} /b HTTP/1.1");
            let answer = scene.client.read_until(&end).await;
            assert!(!answer.contains("connection: close"), "{answer}");
            // The client's connection lives on; the service's does not.
            scene
                .client
                .say("GET /c HTTP/1.1\r\nHost: svc\r\n\r\n")
                .await;
            let next = scene.client.read_until("HTTP/1.1").await;
            let next = next + &scene.client.read_until("/c HTTP/1.1").await;
            assert!(next.ends_with("1 GET /c HTTP/1.1"), "{method}: {next}");
            let (first, second) = (format!("allow {method} /b"), "allow GET /c".to_owned());
            assert_eq!(
                scene.gate.entries(),
                [
                    "allow GET /a".to_owned(),
                    "dial".to_owned(),
                    first,
                    second,
                    "dial".to_owned()
                ]
            );
            assert_eq!(scene.leave().await, Ended::Finished);
        }
    }
}
