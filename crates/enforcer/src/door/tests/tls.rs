//! TLS that a workload brings to the door of a service that says so: by which name it gets in, and that nobody reads it.

use std::time::Duration;

use ringfence_model::Kind as WorkloadKind;
use ringfence_model::flow::{Flow, Kind, Outcome};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::limits::{HELLO_CHUNK, HELLO_TIMEOUT};
use crate::testing::{Stopped, until};

const SOON: Duration = Duration::from_secs(20);

/// `echo` speaks TLS, and answers to `ledger.internal` too.
fn sealed(echo: u16, hosts: &str) -> String {
    estate(echo, 80).replace(
        &format!("protocol: tcp, port: {echo}"),
        &format!("protocol: tls, port: {echo}, hosts: [{hosts}]"),
    )
}

/// Records that are no handshake: a change of ciphers, early data, and the client giving up.
const CHANGE: &[u8] = b"\x14\x03\x03\x00\x01\x01";
const EARLY: &[u8] = b"\x17\x03\x03\x00\x05early";
const ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";

/// A HelloRetryRequest, and what OpenSSL sends behind it.
fn retry() -> Vec<u8> {
    let random = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c";
    let random = (0..32).map(|at| u8::from_str_radix(&random[2 * at..][..2], 16).unwrap());
    let body: Vec<u8> = [3, 3]
        .into_iter()
        .chain(random)
        .chain(*b"\0\x13\x01\0\0\x0c\0\x2b\0\x02\x03\x04\0\x33\0\x02\0\x18")
        .collect();
    let length = body.len() as u8;
    [
        &[22, 3, 3, 0, length + 4, 2, 0, 0, length],
        &body[..],
        CHANGE,
    ]
    .concat()
}

/// What a client says first that asks for `name`.
fn hello(name: &str) -> Vec<u8> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

async fn end(serving: JoinHandle<()>) {
    timeout(SOON, serving).await.unwrap().unwrap();
}

fn operations(world: &World) -> Vec<Flow> {
    let mut flows = world.flows();
    flows.retain(|flow| flow.kind() == Kind::Operation);
    flows
}

#[tokio::test]
async fn whoever_asks_for_one_of_its_names_is_carried_unread() {
    for name in [
        "ledger.internal",
        "LEDGER.internal",
        "echo",
        "echo.ringfence.internal",
    ] {
        let (service, port) = listener().await;
        let world = World::new(&sealed(port, "ledger.internal"));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let _echo = world.running("echo");
        let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
        let hello = hello(name);
        // In two segments, with early data behind it, and what is no TLS behind that.
        let (first, second) = hello.split_at(hello.len() / 2);
        client.write_all(first).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        client
            .write_all(&[second, CHANGE, EARLY, b"more"].concat())
            .await
            .unwrap();
        let (mut inside, _) = timeout(SOON, service.accept()).await.unwrap().unwrap();
        let sent = [&hello[..], CHANGE, EARLY, b"more"].concat();
        let mut heard = vec![0; sent.len()];
        let (before, after) = heard.split_at_mut(sent.len() - 4);
        timeout(SOON, inside.read_exact(before))
            .await
            .unwrap()
            .unwrap();
        inside.write_all(b"answer").await.unwrap();
        timeout(SOON, inside.read_exact(after))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(heard, sent);
        let mut answer = [0; 6];
        timeout(SOON, client.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&answer, b"answer");
        client.shutdown().await.unwrap();
        inside.shutdown().await.unwrap();
        end(serving).await;
        let flows = world.flows();
        let told: Vec<_> = flows
            .iter()
            .map(|flow| {
                (
                    flow.kind(),
                    flow.outcome(),
                    flow.operation.as_str(),
                    flow.protocol.as_str(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (Kind::Connection, Outcome::Allow, "connect", "tls"),
                (Kind::Operation, Outcome::Allow, "connect", "tls"),
                (Kind::Close, Outcome::Allow, "close", "tls"),
            ]
        );
        let lower = name.to_ascii_lowercase();
        assert!(
            flows[1].reason.ends_with(&format!("; server name {lower}")),
            "{}",
            flows[1].reason
        );
        assert_eq!(
            (flows[2].bytes_sent, flows[2].bytes_received),
            (sent.len() as u64, 6)
        );
    }
}

#[tokio::test]
async fn whoever_asks_for_another_name_or_none_is_reset_and_recorded() {
    for (sent, reason) in [
        (hello("web"), "server name web is not one of service echo"),
        (
            hello("ledger.internal.example"),
            "server name ledger.internal.example is not one of service echo",
        ),
        (hello("10.1.2.3"), "service echo speaks tls: no server name"),
        (
            b"GET / HTTP/1.1\r\nHost: echo\r\n\r\n".to_vec(),
            "service echo speaks tls, and its caller sent a request of HTTP/1",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            "service echo speaks tls, and its caller sent the preface of HTTP/2",
        ),
        (
            b"SSH-2.0-x\r\n".to_vec(),
            "service echo speaks tls, and its caller sent the banner of SSH",
        ),
        (
            b"hello\r\n".to_vec(),
            "service echo speaks tls: no TLS handshake",
        ),
        (
            b"\x16\x03\x01\x00\x00".to_vec(),
            "service echo speaks tls: TLS record of an impossible length",
        ),
    ] {
        let (service, port) = listener().await;
        let world = World::new(&sealed(port, "ledger.internal"));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let _echo = world.running("echo");
        let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
        client.write_all(&sent).await.unwrap();
        let cut = timeout(SOON, client.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset, "{reason}");
        end(serving).await;
        let operations = operations(&world);
        assert_eq!(operations.len(), 1, "{reason}");
        assert_eq!(
            (operations[0].outcome(), operations[0].reason.as_str()),
            (Outcome::Deny, reason)
        );
        let nobody = timeout(Duration::from_millis(50), service.accept()).await;
        assert!(nobody.is_err(), "{reason}");
    }
}

#[tokio::test]
async fn a_hello_that_is_cut_short_reaches_nobody() {
    let (service, port) = listener().await;
    let world = World::new(&sealed(port, "ledger.internal"));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
    let hello = hello("echo");
    client.write_all(&hello[..hello.len() - 1]).await.unwrap();
    client.shutdown().await.unwrap();
    end(serving).await;
    assert_eq!(operations(&world)[0].reason, "ClientHello cut short");
    assert!(
        timeout(Duration::from_millis(50), service.accept())
            .await
            .is_err()
    );
}

/// One for `echo` that is longer than what is read at once, in as many records as may be.
fn long_hello() -> Vec<u8> {
    let vector = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let name = vector(&[&[0][..], &vector(b"echo")].concat());
    let extensions = [
        &[0, 0][..],
        &vector(&name),
        &[0, 21],
        &vector(&vec![0; 3 * HELLO_CHUNK]),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &vector(&[0x13, 1]),
        &[1, 0],
        &vector(&extensions),
    ]
    .concat();
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    message
        .chunks(1000)
        .flat_map(|fragment| [&[22, 3, 1][..], &vector(fragment)].concat())
        .collect()
}

#[tokio::test]
async fn a_hello_of_many_pieces_is_carried() {
    let (service, port) = listener().await;
    let world = World::new(&sealed(port, "ledger.internal"));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (mut client, _serving) = knock(&world, &home, world.at(2, port)).await;
    let hello = long_hello();
    client.write_all(&hello).await.unwrap();
    let (mut inside, _) = timeout(SOON, service.accept()).await.unwrap().unwrap();
    let mut heard = vec![0; hello.len()];
    timeout(SOON, inside.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(heard, hello);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_reset_in_time() {
    for said in [Vec::new(), hello("echo")[..9].to_vec()] {
        let (_service, port) = listener().await;
        let world = World::new(&sealed(port, "ledger.internal"));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let _echo = world.running("echo");
        let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
        let time = Stopped::now();
        time.pass(Duration::ZERO).await;
        client.write_all(&said).await.unwrap();
        time.pass(Duration::ZERO).await;
        time.ends_after(HELLO_TIMEOUT, &serving).await;
        assert_eq!(
            operations(&world)[0].reason,
            "ClientHello not complete in time"
        );
    }
}

#[tokio::test]
async fn who_came_by_a_name_that_is_taken_away_is_cut_and_others_live() {
    let (service, port) = listener().await;
    let world = World::new(&sealed(port, "ledger.internal"));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let mut ends = Vec::new();
    for name in ["ledger.internal", "echo"] {
        let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
        client.write_all(&hello(name)).await.unwrap();
        let (inside, _) = timeout(SOON, service.accept()).await.unwrap().unwrap();
        ends.push((client, inside, serving));
    }
    world.load(2, &sealed(port, "books.internal"));
    let (mut client, mut inside, serving) = ends.remove(0);
    assert!(timeout(SOON, client.read_u8()).await.unwrap().is_err());
    let mut rest = Vec::new();
    assert!(
        timeout(SOON, inside.read_to_end(&mut rest))
            .await
            .unwrap()
            .is_err()
    );
    end(serving).await;
    let close = world.flows().pop().unwrap();
    assert_eq!(close.outcome(), Outcome::Deny);
    assert!(
        close
            .reason
            .contains("server name ledger.internal is not one of service echo"),
        "{}",
        close.reason
    );
    let (mut client, mut inside, _serving) = ends.remove(0);
    inside.write_all(b"x").await.unwrap();
    assert_eq!(
        timeout(SOON, client.read_u8()).await.unwrap().unwrap(),
        b'x'
    );
}

#[tokio::test]
async fn a_name_that_the_log_does_not_take_gets_nobody_in() {
    let (service, port) = listener().await;
    let world = World::new(&sealed(port, "ledger.internal"));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
    world.flows_when(1).await;
    world.break_log().await;
    client.write_all(&hello("echo")).await.unwrap();
    assert!(timeout(SOON, client.read_u8()).await.unwrap().is_err());
    end(serving).await;
    assert!(
        timeout(Duration::from_millis(50), service.accept())
            .await
            .is_err()
    );
}

/// A connection on which the service has asked for a second ClientHello.
struct Again {
    world: World,
    client: TcpStream,
    inside: TcpStream,
    serving: JoinHandle<()>,
}

/// With `ahead` sent behind the first ClientHello, before the service has answered it, and `passes` of that let through.
async fn again(ahead: &[u8], passes: usize) -> Again {
    let (service, port) = listener().await;
    let world = World::new(&sealed(port, "ledger.internal"));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
    let first = hello("echo");
    client
        .write_all(&[&first[..], ahead].concat())
        .await
        .unwrap();
    let (mut inside, _) = timeout(SOON, service.accept()).await.unwrap().unwrap();
    let mut heard = vec![0; first.len() + passes];
    timeout(SOON, inside.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(heard, [&first[..], &ahead[..passes]].concat());
    // Nothing more goes on before the answer.
    let mut byte = [0];
    let more = timeout(Duration::from_millis(50), inside.peek(&mut byte)).await;
    assert!(more.is_err(), "{more:?}");
    // The kind and a part of the length, then the rest.
    let retry = retry();
    for piece in [&retry[..4], &retry[4..40], &retry[40..]] {
        inside.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut heard = vec![0; retry.len()];
    match timeout(SOON, client.read_exact(&mut heard)).await.unwrap() {
        Ok(_) => assert_eq!(heard, retry),
        // What was sent ahead may have been refused already.
        Err(_) => assert!(ahead.len() > passes),
    }
    Again {
        world,
        client,
        inside,
        serving,
    }
}

#[tokio::test]
async fn a_second_hello_of_the_same_name_passes_with_all_that_follows() {
    for before in [&[][..], CHANGE, &[CHANGE, EARLY, EARLY].concat()] {
        for late in [false, true] {
            let second = hello("ECHO");
            let sent = [before, &second, EARLY].concat();
            let ahead = if late { before } else { &sent };
            let mut again = again(ahead, before.len()).await;
            if late {
                for byte in &sent[before.len()..] {
                    again.client.write_all(&[*byte]).await.unwrap();
                }
            }
            let mut heard = vec![0; sent.len() - before.len()];
            timeout(SOON, again.inside.read_exact(&mut heard))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(heard, sent[before.len()..]);
            again.inside.write_all(b"end").await.unwrap();
            again.inside.shutdown().await.unwrap();
            again.client.shutdown().await.unwrap();
            let mut rest = Vec::new();
            timeout(SOON, again.client.read_to_end(&mut rest))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(rest, b"end");
            end(again.serving).await;
            let close = again.world.flows().pop().unwrap();
            assert_eq!(
                (close.bytes_sent, close.bytes_received),
                (
                    (hello("echo").len() + sent.len()) as u64,
                    (retry().len() + 3) as u64
                )
            );
        }
    }
}

#[tokio::test]
async fn a_second_hello_of_another_name_is_never_seen_by_the_service() {
    let mut nameless = hello("echo");
    let at = nameless.windows(4).position(|it| it == b"echo").unwrap();
    nameless[at] = b'.';
    for (second, reason) in [
        // Another name of the same service: the server was told the first one.
        (
            hello("ledger.internal"),
            "second ClientHello with another server name",
        ),
        (hello("web"), "second ClientHello with another server name"),
        (hello("10.1.2.3"), "no server name"),
        (nameless, "server name that is no host name"),
        (
            b"\x17\x03\x03\x50\x00".to_vec(),
            "TLS record of an impossible length",
        ),
    ] {
        for ahead in [true, false] {
            let sent = if ahead { &second[..] } else { &[] };
            let is_handshake = second[0] == 22;
            if ahead && !is_handshake {
                continue;
            }
            let mut again = again(sent, 0).await;
            if !ahead {
                again.client.write_all(&second).await.unwrap();
            }
            end(again.serving).await;
            let mut rest = Vec::new();
            let ended = timeout(SOON, again.inside.read_to_end(&mut rest))
                .await
                .unwrap();
            assert!(ended.is_err() && rest.is_empty(), "{reason}: {rest:?}");
            let denied = operations(&again.world).pop().unwrap();
            assert_eq!(
                (denied.outcome(), denied.reason),
                (Outcome::Deny, format!("service echo speaks tls: {reason}"))
            );
            let close = again.world.flows().pop().unwrap();
            assert_eq!(
                (close.outcome(), close.reason.as_str()),
                (Outcome::Deny, "refused by its second ClientHello")
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_gives_no_second_hello_is_not_waited_for() {
    // It says that it gives up, and leaves.
    let mut waiting = again(&[], 0).await;
    waiting.client.write_all(ALERT).await.unwrap();
    waiting.client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(SOON, waiting.inside.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rest, ALERT);
    waiting.inside.shutdown().await.unwrap();
    end(waiting.serving).await;
    let close = waiting.world.flows().pop().unwrap();
    assert_eq!(close.outcome(), Outcome::Allow);
    // It breaks off in the middle of it.
    let mut waiting = again(&[], 0).await;
    waiting
        .client
        .write_all(&hello("echo")[..50])
        .await
        .unwrap();
    waiting.client.shutdown().await.unwrap();
    end(waiting.serving).await;
    assert_eq!(
        operations(&waiting.world).pop().unwrap().reason,
        "ClientHello cut short"
    );
    // It says nothing more.
    let waiting = again(&hello("echo")[..50], 0).await;
    let (time, little) = (Stopped::now(), Duration::from_secs(5));
    time.pass(HELLO_TIMEOUT - little).await;
    assert!(!waiting.serving.is_finished());
    time.pass(little).await;
    until("it ends", || waiting.serving.is_finished()).await;
    assert_eq!(
        operations(&waiting.world).pop().unwrap().reason,
        "ClientHello not complete in time"
    );
}

#[tokio::test]
async fn who_waits_for_an_answer_is_cut_when_policy_changes() {
    for answered in [false, true] {
        let (service, port) = listener().await;
        let world = World::new(&sealed(port, "ledger.internal"));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let _echo = world.running("echo");
        let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
        client.write_all(&hello("ledger.internal")).await.unwrap();
        let (mut inside, _) = timeout(SOON, service.accept()).await.unwrap().unwrap();
        if answered {
            inside.write_all(&retry()).await.unwrap();
            timeout(SOON, client.read_u8()).await.unwrap().unwrap();
        }
        world.load(2, &sealed(port, "books.internal"));
        end(serving).await;
        assert_eq!(world.flows().pop().unwrap().outcome(), Outcome::Deny);
    }
}
