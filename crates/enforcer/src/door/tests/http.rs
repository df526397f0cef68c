use std::time::Duration;

use ringfence_model::Kind as WorkloadKind;
use ringfence_model::flow::{Kind, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// Reads until `end` has arrived.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if text.contains(end) {
            return text;
        }
        let reading = timeout(Duration::from_secs(5), stream.read_buf(&mut got));
        let count = reading
            .await
            .unwrap_or_else(|_| panic!("only {text:?}"))
            .unwrap();
        assert_ne!(count, 0, "ended after {text:?}");
    }
}

#[tokio::test]
async fn each_request_is_decided_and_a_refused_one_disturbs_no_other() {
    let (service, port) = listener().await;
    let world = World::new(&estate(7, port));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _web = world.running("web");
    let (mut client, serving) = knock(&world, &home, world.at(4, port)).await;

    client
        .write_all(b"POST /pay HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let refused = until(&mut client, "}").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains(r#""retry":false"#), "{refused}");
    assert!(
        timeout(Duration::from_millis(50), service.accept())
            .await
            .is_err()
    );

    let request =
        "GET /ok?q=1 HTTP/1.1\r\nHost: www.internal\r\nX-Forwarded-Client-Cert: me\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut inside, _) = service.accept().await.unwrap();
    let head = until(&mut inside, "\r\n\r\n").await;
    assert!(head.starts_with("GET /ok?q=1 HTTP/1.1\r\n"), "{head}");
    let named =
        "By=spiffe://ringfence.internal/service/web;URI=spiffe://ringfence.internal/agent/agent";
    assert!(head.contains(named), "{head}");
    assert!(!head.contains(": me\r\n"), "{head}");
    inside
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    until(&mut client, "\r\n\r\nok").await;
    drop(client);
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();

    let flows = world.flows();
    let told: Vec<_> = flows
        .iter()
        .map(|flow| (flow.kind(), flow.outcome(), flow.operation.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Kind::Connection, Outcome::Allow, "connect"),
            (Kind::Operation, Outcome::Deny, "POST /pay"),
            (Kind::Operation, Outcome::Allow, "GET /ok"),
            (Kind::Close, Outcome::Allow, "close"),
        ]
    );
    assert!(
        flows
            .iter()
            .all(|flow| flow.connection == flows[0].connection)
    );
    assert!(
        flows
            .iter()
            .all(|flow| flow.protocol == "http" && flow.destination == "web")
    );
    assert_eq!(flows[2].rule, "estate.yaml:33");
    assert!(flows[3].bytes_sent > 0 && flows[3].bytes_received > 0);
}

#[tokio::test]
async fn whoever_leaves_after_a_failure_does_not_hide_it() {
    let (service, port) = listener().await;
    drop(service);
    let world = World::new(&estate(7, port));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _web = world.running("web");
    let (mut client, serving) = knock(&world, &home, world.at(4, port)).await;
    client
        .write_all(b"GET /ok HTTP/1.1\r\nHost: web\r\n\r\n")
        .await
        .unwrap();
    let answer = until(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    home.leave("its launcher has gone");
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
    let flows = world.flows();
    let close = flows.last().unwrap();
    assert_eq!(close.outcome(), Outcome::Error);
    let reason = &close.reason;
    assert!(
        reason.contains("service web is not reached") && reason.ends_with("its launcher has gone"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_revoked_request_under_way_is_cut() {
    let (service, port) = listener().await;
    let world = World::new(&estate(7, port));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _web = world.running("web");
    let (mut client, serving) = knock(&world, &home, world.at(4, port)).await;
    client
        .write_all(b"GET /ok HTTP/1.1\r\nHost: web\r\n\r\n")
        .await
        .unwrap();
    let (mut inside, _) = service.accept().await.unwrap();
    until(&mut inside, "\r\n\r\n").await;
    world.load(2, &without_policy(7, port));
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
    assert!(client.read_u8().await.is_err());
    let cut = inside.read_u8().await.unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
    let flows = world.flows();
    let close = flows.last().unwrap();
    assert_eq!(close.outcome(), Outcome::Deny);
    assert!(
        close.reason.starts_with("revoked by generation 2"),
        "{}",
        close.reason
    );
}

#[tokio::test]
async fn an_idle_connection_is_cut_when_the_two_may_no_longer_meet() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let (mut client, serving) = knock(&world, &home, world.at(4, 80)).await;
    world.flows_when(1).await;
    world.load(2, &without_policy(7, 80));
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
    assert!(client.read_u8().await.is_err());
}

#[tokio::test]
async fn nobody_there_is_503_and_recorded_as_error() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let (mut client, _) = knock(&world, &home, world.at(4, 80)).await;
    client
        .write_all(b"GET /ok HTTP/1.1\r\nHost: web\r\n\r\n")
        .await
        .unwrap();
    let answer = until(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let flows = world.flows();
    assert_eq!(
        (flows[1].kind(), flows[1].outcome()),
        (Kind::Operation, Outcome::Error)
    );
    assert_eq!(flows[1].reason, "no instance of web is running");
}

#[tokio::test]
async fn a_request_that_the_log_does_not_take_is_503_and_goes_nowhere() {
    let (service, port) = listener().await;
    let world = World::new(&estate(7, port));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _web = world.running("web");
    let (mut client, _) = knock(&world, &home, world.at(4, port)).await;
    world.flows_when(1).await;
    world.break_log().await;
    client
        .write_all(b"GET /ok HTTP/1.1\r\nHost: web\r\n\r\n")
        .await
        .unwrap();
    let answer = until(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        timeout(Duration::from_millis(100), service.accept())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_endpoint_outside_is_called_by_its_own_name() {
    let (service, port) = listener().await;
    let yaml = estate(7, port).replace(
        "hosts: [www.internal] }",
        &format!(
            "hosts: [www.internal], endpoints: [{{ address: \"127.0.0.1:{port}\" }}], \
             mutualAuth: {{ exempt: \"a test\", until: 2999-01-01 }} }}"
        ),
    );
    let world = World::new(&yaml);
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let (mut client, serving) = knock(&world, &home, world.at(4, port)).await;
    client
        .write_all(b"GET /ok HTTP/1.1\r\nHost: web\r\n\r\n")
        .await
        .unwrap();
    let (mut inside, from) = service.accept().await.unwrap();
    assert_eq!(
        from.ip(),
        std::net::Ipv4Addr::LOCALHOST,
        "not from a virtual address"
    );
    let head = until(&mut inside, "\r\n\r\n").await.to_ascii_lowercase();
    assert!(
        head.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")),
        "{head}"
    );
    let flows = world.flows();
    assert!(
        flows
            .iter()
            .all(|flow| flow.side() == ringfence_model::flow::Side::Initiator)
    );
    assert!(
        flows
            .iter()
            .all(|flow| flow.destination_instance.is_empty())
    );

    // The endpoint is no longer declared: what goes to it is cut.
    world.load(2, &yaml.replace("127.0.0.1:", "127.0.0.2:"));
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
    assert!(client.read_u8().await.is_err());
    let flows = world.flows();
    let close = flows.last().unwrap();
    assert!(
        close.reason.contains("no longer found where it was"),
        "{}",
        close.reason
    );
}

const ASK: &str = "GET /feed HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const OPEN: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn an_open_websocket_is_cut_when_its_operation_is_no_longer_allowed() {
    let (service, port) = listener().await;
    let allows = |operations: &str| estate(7, port).replace("[\"GET /ok\"]", operations);
    let world = World::new(&allows("[\"GET /feed\", \"WEBSOCKET /feed\"]"));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _web = world.running("web");
    let (mut client, serving) = knock(&world, &home, world.at(4, port)).await;
    client.write_all(ASK.as_bytes()).await.unwrap();
    let (mut inside, _) = service.accept().await.unwrap();
    until(&mut inside, "\r\n\r\n").await;
    inside.write_all(OPEN.as_bytes()).await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    // What still allows it leaves it alone.
    world.load(2, &allows("[\"WEBSOCKET /feed\"]"));
    inside.write_all(b"frame").await.unwrap();
    until(&mut client, "frame").await;
    client.write_all(b"back").await.unwrap();
    until(&mut inside, "back").await;
    world.load(3, &allows("[\"GET /feed\"]"));
    timeout(Duration::from_secs(20), serving)
        .await
        .unwrap()
        .unwrap();
    for end in [&mut client, &mut inside] {
        let cut = end.read_u8().await.unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
    }
    let flows = world.flows();
    let told: Vec<_> = flows
        .iter()
        .map(|flow| (flow.kind(), flow.outcome(), flow.operation.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Kind::Connection, Outcome::Allow, "connect"),
            (Kind::Operation, Outcome::Allow, "WEBSOCKET /feed"),
            (Kind::Close, Outcome::Deny, "close"),
        ]
    );
    let close = flows.last().unwrap();
    assert!(
        close.reason.starts_with("revoked by generation 3"),
        "{}",
        close.reason
    );
}

/// What was cut off on one side must not look finished on the other.
#[tokio::test]
async fn a_websocket_that_breaks_on_one_side_breaks_on_the_other() {
    for who in ["client", "service", "nobody"] {
        let (service, port) = listener().await;
        let world = World::new(&estate(7, port).replace("[\"GET /ok\"]", "[\"WEBSOCKET /feed\"]"));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let _web = world.running("web");
        let (mut client, serving) = knock(&world, &home, world.at(4, port)).await;
        client.write_all(ASK.as_bytes()).await.unwrap();
        let (mut inside, _) = service.accept().await.unwrap();
        until(&mut inside, "\r\n\r\n").await;
        inside.write_all(OPEN.as_bytes()).await.unwrap();
        until(&mut client, "\r\n\r\n").await;
        inside.write_all(b"frame").await.unwrap();
        until(&mut client, "frame").await;
        let reason = match who {
            "client" => {
                client.set_zero_linger().unwrap();
                drop(client);
                let cut = inside.read_u8().await.unwrap_err();
                assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
                "one side of the WebSocket broke off"
            }
            "service" => {
                inside.set_zero_linger().unwrap();
                drop(inside);
                let cut = client.read_u8().await.unwrap_err();
                assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
                "one side of the WebSocket broke off"
            }
            _ => {
                client.write_all(b"last").await.unwrap();
                client.shutdown().await.unwrap();
                let mut rest = String::new();
                inside.read_to_string(&mut rest).await.unwrap();
                assert_eq!(rest, "last");
                inside.write_all(b"word").await.unwrap();
                inside.shutdown().await.unwrap();
                client.read_to_string(&mut rest).await.unwrap();
                assert_eq!(rest, "lastword");
                "finished"
            }
        };
        timeout(Duration::from_secs(20), serving)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(world.flows().pop().unwrap().reason, reason, "{who}");
    }
}

#[tokio::test]
async fn to_open_a_websocket_is_not_implied_by_reading_its_path() {
    let (service, port) = listener().await;
    let world = World::new(&estate(7, port).replace("[\"GET /ok\"]", "[\"GET /feed\", \"* /**\"]"));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _web = world.running("web");
    let (mut client, _serving) = knock(&world, &home, world.at(4, port)).await;
    client.write_all(ASK.as_bytes()).await.unwrap();
    let refused = until(&mut client, "}").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let nobody = timeout(Duration::from_millis(50), service.accept()).await;
    assert!(nobody.is_err());
    let flow = world.flows().pop().unwrap();
    assert_eq!(
        (flow.outcome(), flow.operation.as_str()),
        (Outcome::Deny, "WEBSOCKET /feed")
    );
}

#[tokio::test]
async fn a_client_that_speaks_another_protocol_is_recorded_as_such() {
    for (sent, reason) in [
        (
            "\x16\x03\x01\x02\0\x01",
            "service web speaks http, and its caller sent a TLS handshake",
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "service web speaks http, and its caller sent the preface of HTTP/2",
        ),
        (
            "SSH-2.0-x\r\n",
            "service web speaks http, and its caller sent the banner of SSH",
        ),
        (
            "PROXY UNKNOWN\r\n\r\n",
            "service web speaks http, and its caller sent a PROXY header",
        ),
    ] {
        let world = World::new(&estate(7, 80));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let (mut client, serving) = knock(&world, &home, world.at(4, 80)).await;
        client.write_all(sent.as_bytes()).await.unwrap();
        until(&mut client, "}").await;
        drop(client);
        timeout(Duration::from_secs(20), serving)
            .await
            .unwrap()
            .unwrap();
        let flows = world.flows();
        assert_eq!(
            (
                flows[1].kind(),
                flows[1].outcome(),
                flows[1].reason.as_str()
            ),
            (Kind::Operation, Outcome::Deny, reason)
        );
    }
}
