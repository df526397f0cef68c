use std::net::{IpAddr, Ipv6Addr};

use ringfence_model::Kind as WorkloadKind;
use ringfence_model::flow::{Kind, Outcome};
use ringfence_wire::dns::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::door::dns::answer;
use crate::testing::address;

pub(super) const A: u16 = 1;
const PTR: u16 = 12;
const MX: u16 = 15;
const AAAA: u16 = 28;

/// A query as a stub resolver writes it.
pub(super) fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&1u16.to_be_bytes());
    bytes
}

/// Response code, and the data of the one answer.
fn read(answer: &[u8]) -> (u8, Option<&[u8]>) {
    assert_eq!(answer[..2], [0xab, 0xcd], "another id");
    let count = u16::from_be_bytes([answer[6], answer[7]]);
    let code = answer[3] & 0xf;
    if count == 0 {
        return (code, None);
    }
    // Question and answer name are followed by type, class, ttl and length.
    let mut at = 12;
    while answer[at] != 0 {
        at += 1 + usize::from(answer[at]);
    }
    at += 5;
    while answer[at] != 0 && answer[at] < 0xc0 {
        at += 1 + usize::from(answer[at]);
    }
    at += if answer[at] >= 0xc0 { 2 } else { 1 };
    let length = usize::from(u16::from_be_bytes([answer[at + 8], answer[at + 9]]));
    (code, Some(&answer[at + 10..at + 10 + length]))
}

pub(super) fn ask(
    world: &World,
    home: &Compartment,
    name: &str,
    kind: u16,
) -> (u8, Option<Vec<u8>>) {
    let server = "8.8.8.8:53".parse().map(OriginalDst::new).unwrap();
    let bytes = answer(
        &world.node,
        home,
        server,
        "",
        &query(name, kind),
        Transport::Udp,
    )
    .unwrap();
    let (code, data) = read(&bytes);
    (code, data.map(<[u8]>::to_vec))
}

fn reverse6(ip: Ipv6Addr) -> String {
    let hex = format!("{:032x}", ip.to_bits());
    let labels: Vec<String> = hex.chars().rev().map(String::from).collect();
    format!("{}.ip6.arpa", labels.join("."))
}

#[tokio::test]
async fn names_that_policy_allows_resolve_and_nothing_else_exists() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let ask = |name: &str, kind| ask(&world, &home, name, kind);
    let v4 = |last| (0, Some(address(last).v4.octets().to_vec()));
    let v6 = |last| (0, Some(address(last).v6.octets().to_vec()));
    const NOT_THERE: (u8, Option<Vec<u8>>) = (3, None);
    const NO_DATA: (u8, Option<Vec<u8>>) = (0, None);
    assert_eq!(ask("echo", A), v4(2));
    assert_eq!(ask("ECHO.Ringfence.Internal", AAAA), v6(2));
    assert_eq!(ask("www.internal", A), v4(4));
    assert_eq!(ask("agent", A), v4(1), "its own name");
    assert_eq!(ask("echo", MX), NO_DATA);
    assert_eq!(ask("echo", PTR), NO_DATA);
    for (name, kind) in [
        ("vault", A),
        ("vault", AAAA),
        ("vault", MX),
        ("vault.ringfence.internal", A),
    ] {
        assert_eq!(ask(name, kind), NOT_THERE, "{name} {kind}");
    }
    assert_eq!(ask("aGVsbG8.tunnel.example.com", A), NOT_THERE);
    assert_eq!(ask(".", A), NOT_THERE);
    let named = b"\x04echo\x09ringfence\x08internal\x00".to_vec();
    assert_eq!(
        ask("2.77.0.127.in-addr.arpa", PTR),
        (0, Some(named.clone()))
    );
    assert_eq!(ask(&reverse6(address(2).v6), PTR), (0, Some(named)));
    assert_eq!(ask("2.77.0.127.in-addr.arpa", A), NO_DATA);
    assert_eq!(ask("3.77.0.127.in-addr.arpa", PTR), NOT_THERE);
    assert_eq!(ask("1.0.0.127.in-addr.arpa", PTR), NOT_THERE);
}

#[tokio::test]
async fn each_query_is_recorded() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    ask(&world, &home, "echo", A);
    ask(&world, &home, "vault", AAAA);
    ask(&world, &home, "example.com", MX);
    let server = "8.8.8.8:53".parse().map(OriginalDst::new).unwrap();
    answer(
        &world.node,
        &home,
        server,
        "",
        b"not dns at all",
        Transport::Udp,
    );
    let flows = world.flows();
    let told: Vec<_> = flows
        .iter()
        .map(|flow| {
            (
                flow.outcome(),
                flow.operation.as_str(),
                flow.destination.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Outcome::Allow, "resolve A echo", "echo"),
            (Outcome::Deny, "resolve AAAA vault", "vault"),
            (Outcome::Deny, "resolve MX example.com", ""),
            (Outcome::Deny, "resolve", ""),
        ]
    );
    for flow in &flows {
        assert_eq!(
            (flow.kind(), flow.protocol.as_str()),
            (Kind::Operation, "dns")
        );
        assert_eq!(flow.original_destination, "8.8.8.8:53");
    }
}

#[tokio::test]
async fn without_a_log_nothing_resolves() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    world.break_log().await;
    assert_eq!(ask(&world, &home, "echo", A), (2, None));
}

#[tokio::test]
async fn a_flood_of_queries_meets_silence_and_is_counted() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let server = "8.8.8.8:53".parse().map(OriginalDst::new).unwrap();
    let flood = query("vault", A);
    let answered = (0..5000)
        .filter(|_| answer(&world.node, &home, server, "", &flood, Transport::Udp).is_some())
        .count();
    assert!((1000..5000).contains(&answered), "{answered}");
    home.finish();
    assert_eq!(
        world.flows().iter().map(|flow| flow.count).sum::<u64>(),
        5000
    );
}

#[tokio::test]
async fn answers_over_tcp_one_query_after_another() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let server = OriginalDst::new(SocketAddr::new(IpAddr::from([9, 9, 9, 9]), 53));
    let (mut client, serving) = knock(&world, &home, server).await;
    let framed = |name| {
        let query = query(name, A);
        let mut bytes = (query.len() as u16).to_be_bytes().to_vec();
        bytes.extend(query);
        bytes
    };
    // Both at once, the second cut in two.
    let both = [framed("echo"), framed("vault")].concat();
    let (first, rest) = both.split_at(both.len() - 7);
    client.write_all(first).await.unwrap();
    let mut answers = Vec::new();
    for part in [None, Some(rest)] {
        if let Some(part) = part {
            client.write_all(part).await.unwrap();
        }
        let mut answer = vec![0; usize::from(client.read_u16().await.unwrap())];
        client.read_exact(&mut answer).await.unwrap();
        answers.push(answer);
    }
    assert_eq!(read(&answers[0]), (0, Some(&address(2).v4.octets()[..])));
    assert_eq!(read(&answers[1]), (3, None));
    drop(client);
    serving.await.unwrap();
    let flows = world.flows();
    let kinds: Vec<_> = flows
        .iter()
        .map(|flow| (flow.kind(), flow.outcome()))
        .collect();
    assert_eq!(
        kinds,
        [
            (Kind::Connection, Outcome::Allow),
            (Kind::Operation, Outcome::Allow),
            (Kind::Operation, Outcome::Deny),
            (Kind::Close, Outcome::Allow),
        ]
    );
    assert!(
        flows
            .iter()
            .all(|flow| flow.connection == flows[0].connection)
    );
    assert_eq!(flows[3].bytes_sent, both.len() as u64);
}

#[tokio::test]
async fn what_is_no_dns_ends_the_connection() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let server = OriginalDst::new(SocketAddr::new(IpAddr::from([9, 9, 9, 9]), 53));
    let (mut client, serving) = knock(&world, &home, server).await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(client.read_u8().await.is_err());
    serving.await.unwrap();
    assert_eq!(world.flows()[1].reason, "a query longer than any name");
}

#[tokio::test]
async fn a_compartment_has_only_so_many_connections_for_names() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let server = OriginalDst::new(SocketAddr::new(IpAddr::from([9, 9, 9, 9]), 53));
    let mut held = Vec::new();
    for count in 1..=32 {
        held.push(knock(&world, &home, server).await);
        world.flows_when(count).await;
    }
    let (mut one_more, serving) = knock(&world, &home, server).await;
    let end = one_more.read_u8().await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    serving.await.unwrap();
    let flows = world.flows_when(33).await;
    assert!(flows[..32].iter().all(|it| it.outcome() == Outcome::Allow));
    assert_eq!(
        (flows[32].outcome(), flows[32].reason.as_str()),
        (Outcome::Deny, "32 dns connections already")
    );
    // One that ends makes room.
    let (client, serving) = held.remove(0);
    drop(client);
    serving.await.unwrap();
    let _again = knock(&world, &home, server).await;
    let flows = world.flows_when(35).await;
    assert_eq!(flows[34].outcome(), Outcome::Allow);
}
