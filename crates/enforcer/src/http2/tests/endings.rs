//! How streams and connections end.

use super::super::gate::Ended;
use super::super::limits::{STREAMS, Timeouts};
use super::harness::{GOAWAY, PING, QUICK, Scene, block, call, frame, request};

#[tokio::test]
async fn a_reset_goes_through_and_costs_nobody_else() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    for id in [3, 5, 7] {
        scene
            .client
            .headers(id, &request("POST", "/", &[]), false)
            .await;
        assert!(service.next().await.starts_with(&format!("{id} headers ")));
    }
    scene.client.reset(3, 8).await;
    assert_eq!(service.next().await, "3 reset 8");
    service.reset(5, 2).await;
    assert_eq!(scene.client.next().await, "5 reset 2");
    // An early answer, and no more of the request is wanted.
    service
        .headers(7, &block(&[(":status", "200")]), true)
        .await;
    service.reset(7, 0).await;
    assert_eq!(scene.client.next().await, "7 headers :status=200 end");
    assert_eq!(scene.client.next().await, "7 reset 0");
    scene.client.asks(9, "GET", "/").await;
    assert!(service.next().await.starts_with("9 headers "));
}

#[tokio::test]
async fn what_is_revoked_is_cut_and_the_rest_goes_on() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    scene.client.begins(3, "POST", "/stays").await;
    scene.client.begins(5, "POST", "/goes").await;
    assert!(service.next().await.contains("/stays"));
    assert!(service.next().await.contains("/goes"));
    service.answers(5).await;
    assert!(scene.client.next().await.starts_with("5 headers "));
    scene.gate.revoke("/goes");
    assert_eq!(scene.client.next().await, "5 reset 8");
    assert_eq!(service.next().await, "5 reset 8");
    assert_eq!(scene.gate.entries().last().unwrap(), "cut /goes");
    scene.client.data(3, b"on", true).await;
    assert_eq!(service.next().await, "3 data on end");
    scene.gate.revoke("*");
    assert_eq!(scene.client.next().await, "end");
    assert_eq!(service.next().await, "end");
    assert_eq!(scene.ended().await, Ended::Revoked);
}

#[tokio::test]
async fn a_call_that_is_revoked_before_its_answer_is_denied() {
    let mut scene = Scene::grpc().await;
    let mut service = scene.warm().await;
    scene.client.headers(3, &call("/a.Svc/Stream"), false).await;
    assert!(service.next().await.starts_with("3 headers "));
    scene.gate.revoke("/a.Svc/Stream");
    assert!(scene.client.next().await.contains("grpc-status=7"));
    assert_eq!(scene.client.next().await, "3 reset 0");
    assert_eq!(service.next().await, "3 reset 8");
}

#[tokio::test]
async fn nobody_at_the_other_end_is_said_to_be_so() {
    for grpc in [false, true] {
        let mut scene = Scene::within(QUICK, grpc, false).await;
        scene.client.greet(&[]).await;
        let asked = if grpc {
            call("/a.Svc/Do")
        } else {
            request("GET", "/", &[])
        };
        scene.client.headers(1, &asked, true).await;
        let said = scene.client.next().await;
        let expected = if grpc {
            "grpc-status=14"
        } else {
            ":status=504"
        };
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_service_that_speaks_something_else_gets_nothing_of_the_client() {
    // Another protocol, nothing at all, and frames in front of the one that has to come first.
    let ping = frame(PING, 0, 0, &[0; 8]);
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", &ping] {
        let mut scene = Scene::within(QUICK, false, true).await;
        scene.client.greet(&[]).await;
        scene.client.begins(1, "POST", "/").await;
        scene
            .client
            .data(1, b"GET /smuggled HTTP/1.1\r\n\r\n", true)
            .await;
        let mut service = scene.accept().await;
        // One that comes when the connection is there waits as well.
        let late = request("POST", "/smuggled", &[]);
        scene.client.headers(3, &late, true).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        service.bytes(answer).await;
        let said = scene.client.next().await;
        let status = if answer.is_empty() { 504 } else { 502 };
        assert!(said.contains(&format!(":status={status}")), "{said}");
        let mut seen = Vec::new();
        let mut io = service.io;
        tokio::io::AsyncReadExt::read_to_end(&mut io, &mut seen)
            .await
            .ok();
        let text = seen.escape_ascii().to_string();
        assert!(text.starts_with("PRI * HTTP/2.0"), "{text}");
        assert!(
            !text.contains("smuggled") && !text.contains("svc"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_service_that_goes_away_ends_what_is_under_way_and_is_dialled_again() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    scene.client.asks(3, "GET", "/a").await;
    scene.client.asks(5, "GET", "/b").await;
    assert!(service.next().await.starts_with("3 headers "));
    assert!(service.next().await.starts_with("5 headers "));
    service.answers(3).await;
    assert!(scene.client.next().await.starts_with("3 headers "));
    drop(service);
    assert_eq!(scene.client.next().await, "3 reset 2");
    assert!(
        scene
            .client
            .next()
            .await
            .starts_with("5 headers :status=502")
    );
    assert!(scene.client.next().await.starts_with("5 data "));
    scene.client.asks(7, "GET", "/c").await;
    let mut service = scene.accept().await;
    service.welcome(&[]).await;
    assert!(service.next().await.starts_with("1 headers "));
    service
        .headers(1, &block(&[(":status", "204")]), true)
        .await;
    assert_eq!(scene.client.next().await, "7 headers :status=204 end");
}

#[tokio::test]
async fn a_service_that_leaves_is_let_finish() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm().await;
    for id in [3, 5] {
        scene
            .client
            .headers(id, &request("GET", "/", &[]), true)
            .await;
        assert!(service.next().await.starts_with(&format!("{id} headers ")));
    }
    service.say(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]).await;
    assert_eq!(scene.client.next().await, "goaway 5 0");
    // It was not looked at, so it may be sent again.
    assert_eq!(scene.client.next().await, "5 reset 7");
    scene.client.asks(7, "GET", "/").await;
    service
        .headers(3, &block(&[(":status", "204")]), true)
        .await;
    assert_eq!(scene.client.next().await, "3 headers :status=204 end");
    let (_, ended) = scene.broken().await;
    assert_eq!(ended, Ended::ServiceLeft);
}

#[tokio::test]
async fn what_takes_too_long_ends() {
    // Half a preface.
    let mut scene = Scene::within(QUICK, false, true).await;
    scene.client.bytes(b"PRI * HT").await;
    let (said, ended) = scene.broken().await;
    assert!(said.contains(&"goaway 0 1".to_owned()), "{said:?}");
    assert!(matches!(ended, Ended::Violation(_)));
    // A header block without end.
    let mut scene = Scene::within(QUICK, false, true).await;
    scene.client.greet(&[]).await;
    scene.client.say(1, 0, 1, &request("GET", "/", &[])).await;
    let (said, _) = scene.broken().await;
    assert!(said.contains(&"goaway 0 1".to_owned()), "{said:?}");
    // No stream at all.
    let mut scene = Scene::within(QUICK, false, true).await;
    scene.client.greet(&[]).await;
    let (said, ended) = scene.broken().await;
    assert_eq!((said, ended), (vec!["goaway 0 0".to_owned()], Ended::Idle));
    // A body that is judged.
    let mut scene = Scene::within(QUICK, false, true).await;
    scene.client.greet(&[]).await;
    scene.client.begins(1, "POST", "/judged").await;
    assert!(
        scene
            .client
            .next()
            .await
            .starts_with("1 headers :status=408")
    );
    // A window that never opens.
    let mut scene = Scene::within(QUICK, false, true).await;
    let mut service = scene.warm_with(&[(4, 0)], &[]).await;
    scene.client.asks(3, "GET", "/").await;
    assert!(service.next().await.starts_with("3 headers "));
    service.answers(3).await;
    service.data(3, b"stuck", false).await;
    assert!(scene.client.next().await.starts_with("3 headers "));
    assert_eq!(scene.client.next().await, "3 reset 8");
    assert_eq!(service.next().await, "3 reset 8");
    // A service that does not answer.
    scene.client.asks(5, "GET", "/").await;
    assert!(
        scene
            .client
            .next()
            .await
            .starts_with("5 headers :status=504")
    );
}

#[tokio::test]
async fn one_stream_more_than_there_may_be_is_refused() {
    let mut scene = Scene::within(Timeouts::STANDARD, false, true).await;
    let mut service = scene.warm().await;
    let last = 3 + 2 * STREAMS as u32;
    for id in (3..=last).step_by(2) {
        scene
            .client
            .headers(id, &request("GET", "/", &[]), true)
            .await;
    }
    assert_eq!(scene.client.next().await, format!("{last} reset 7"));
    for _ in 0..STREAMS {
        assert!(service.next().await.contains(" headers "));
    }
    service.silence().await;
    service
        .headers(3, &block(&[(":status", "204")]), true)
        .await;
    assert!(scene.client.next().await.starts_with("3 headers "));
    scene
        .client
        .headers(last + 2, &request("GET", "/", &[]), true)
        .await;
    assert!(service.next().await.contains(" headers "));
}

#[tokio::test]
async fn a_client_that_does_not_close_is_waited_for_so_long_and_no_longer() {
    let mut scene = Scene::within(QUICK, false, true).await;
    scene.client.greet(&[]).await;
    scene.client.say(5, 4, 1, &[0; 8]).await;
    assert_eq!(scene.client.next().await, "goaway 0 1");
    // The client neither closes nor says anything.
    let begun = std::time::Instant::now();
    let (ended, client) = scene.ended_beside().await;
    assert!(matches!(ended, Ended::Violation(_)));
    assert!(begun.elapsed() + std::time::Duration::from_millis(100) >= QUICK.linger);
    drop(client);
}
