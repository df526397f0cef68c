//! Opening WebSockets: what is switched to, when, and by whom.

use super::super::gate::Ended;
use super::harness::{Scene, Wire, answered, counted, counting, own, refused};

const ASK: &str = "GET /feed HTTP/1.1\r\nHost: svc\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const OPEN: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const OPENED: &str = "HTTP/1.1 101 Switching Protocols\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const GET: &str = "GET /a HTTP/1.1\r\nHost: svc\r\n\r\n";

/// Opens it, says something at once, and then says back what it hears.
async fn echo(mut wire: Wire, _nth: usize) {
    let head = wire.head().await;
    for line in [
        "GET /feed HTTP/1.1\r\n",
        "connection: Upgrade\r\n",
        "upgrade: websocket\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    wire.say(&format!("{OPEN}hello")).await;
    loop {
        let mut byte = [0];
        if !matches!(wire.0.peek(&mut byte).await, Ok(1)) {
            return;
        }
        let heard = wire.exactly(4).await;
        wire.say(&heard).await;
    }
}

#[tokio::test]
async fn opens_what_was_asked_for_and_carries_it_unread() {
    let mut scene = Scene::new(echo).await;
    scene.client.say(ASK).await;
    let first = format!("{OPENED}hello");
    assert_eq!(scene.client.exactly(first.len()).await, first);
    // To anybody who reads this would be the next request.
    for said in ["GET ", "\0\x01\r\n", "ping"] {
        scene.client.say(said).await;
        assert_eq!(scene.client.exactly(said.len()).await, said);
    }
    assert_eq!(
        scene.gate.entries(),
        ["allow WEBSOCKET /feed", "dial", "carry"]
    );
    let (sent, received) = (12, "hello".len() as u64 + 12);
    let gate = std::sync::Arc::clone(&scene.gate);
    let heads = gate.counted();
    assert_eq!(scene.leave().await, Ended::Finished);
    let after = gate.counted();
    assert_eq!((after.0 - heads.0, after.1 - heads.1), (sent, received));
}

#[tokio::test]
async fn a_refused_one_opens_nothing_and_what_stands_behind_it_is_a_request() {
    let mut scene = Scene::new(counting).await;
    let forbidden = ASK.replace("/feed", "/forbidden");
    let smuggled = GET.replace("/a", "/forbidden/too");
    scene
        .client
        .say(&format!("{forbidden}{smuggled}{GET}"))
        .await;
    let expected = [refused(false), refused(false), counted(0, 0)].concat();
    assert_eq!(scene.client.exactly(expected.len()).await, expected);
    assert_eq!(
        scene.gate.entries(),
        [
            "deny WEBSOCKET /forbidden",
            "deny GET /forbidden/too",
            "allow GET /a",
            "dial"
        ]
    );
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn an_answer_that_opens_something_else_is_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        // Another key's.
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: c3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        // The GET that it also is has been decided by nobody.
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret",
        // Frames before the switch.
        "~hello",
    ] {
        let mut scene = answered(ASK, answer).await;
        let expected = own("502 Bad Gateway", "service not available", true, false);
        let got = scene.client.exactly(expected.len()).await;
        assert_eq!(got, expected, "{}", answer.escape_debug());
        let last = scene.gate.entries().pop().unwrap_or_default();
        assert!(last.starts_with("failed "), "{last}");
        // The connection that lied is not used again.
        scene.client.say(GET).await;
        let next = counted(1, 0);
        assert_eq!(scene.client.exactly(next.len()).await, next);
        assert_eq!(scene.leave().await, Ended::Finished);
    }
}

#[tokio::test]
async fn a_service_that_declines_is_heard() {
    let mut scene = answered(
        ASK,
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
    )
    .await;
    let expected = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
    assert_eq!(scene.client.exactly(expected.len()).await, expected);
    scene.client.say(GET).await;
    let next = counted(1, 0);
    assert_eq!(scene.client.exactly(next.len()).await, next);
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn what_is_sent_before_it_is_open_is_never_carried() {
    let mut scene = Scene::new(|mut wire: Wire, _| async move {
        wire.head().await;
        // The client's next bytes are here by now.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        wire.say(OPEN).await;
        let (rest, _) = wire.rest().await;
        assert_eq!(rest, "");
    })
    .await;
    scene.client.say(&format!("{ASK}{GET}")).await;
    let expected = own("400 Bad Request", "malformed request", false, true);
    assert_eq!(scene.client.exactly(expected.len()).await, expected);
    let last = scene.gate.entries().pop().unwrap_or_default();
    assert!(last.starts_with("malformed WEBSOCKET"), "{last}");
    assert_eq!(scene.leave().await, Ended::Malformed);
}

#[tokio::test]
async fn an_open_one_is_cut_when_it_is_revoked() {
    let mut scene = Scene::new(echo).await;
    scene.client.say(ASK).await;
    let first = format!("{OPENED}hello");
    assert_eq!(scene.client.exactly(first.len()).await, first);
    scene.gate.revoke();
    let (rest, result) = scene.client.rest().await;
    assert_eq!(rest, "");
    assert!(result.is_err(), "a reset, not an end");
    assert_eq!(scene.ended().await, Ended::Revoked);
}
