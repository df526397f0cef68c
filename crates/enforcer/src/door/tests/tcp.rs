use std::io;
use std::time::Duration;

use ringfence_model::flow::{Kind, Outcome, Side};
use ringfence_model::{Kind as WorkloadKind, OriginalDst};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::testing::address;

async fn read_error(client: &mut TcpStream) -> io::ErrorKind {
    let mut byte = [0];
    match timeout(Duration::from_secs(5), client.read(&mut byte))
        .await
        .expect("no answer")
    {
        Ok(count) => panic!("{count} bytes instead of a reset"),
        Err(cause) => cause.kind(),
    }
}

#[tokio::test]
async fn an_allowed_connection_is_recorded_relayed_and_closed() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let echo = world.running("echo");
    let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
    let (mut inside, from) = service.accept().await.unwrap();
    assert_eq!(
        from.ip(),
        address(1).v4,
        "the service sees the caller's own address"
    );
    // The record is there before anything has been said.
    let flows = world.flows();
    assert_eq!(flows.len(), 1);
    let open = &flows[0];
    assert_eq!(
        (open.kind(), open.outcome(), open.side()),
        (Kind::Connection, Outcome::Allow, Side::Both)
    );
    assert_eq!(
        (open.source.as_str(), open.source_instance.as_str()),
        ("agent", "agent-1-1")
    );
    assert_eq!(
        (
            open.destination.as_str(),
            open.destination_instance.as_str()
        ),
        ("echo", "echo-1-1")
    );
    assert_eq!(open.original_destination, format!("127.0.77.2:{port}"));
    assert_eq!(
        (open.protocol.as_str(), open.operation.as_str()),
        ("tcp", "connect")
    );
    assert_eq!(
        (open.rule.as_str(), open.generation, open.mode.as_str()),
        ("estate.yaml:31", 1, "enforce")
    );
    assert_eq!(
        (open.purpose.as_str(), open.node.as_str(), open.count),
        ("tests doors", "here", 1)
    );

    client.write_all(b"ping").await.unwrap();
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    inside.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"ping");
    inside.write_all(b"pong!").await.unwrap();
    drop(inside);
    got.clear();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"pong!");
    serving.await.unwrap();
    let flows = world.flows();
    let close = &flows[1];
    assert_eq!(
        (close.kind(), close.outcome(), close.reason.as_str()),
        (Kind::Close, Outcome::Allow, "finished")
    );
    assert_eq!((close.bytes_sent, close.bytes_received), (4, 5));
    assert_eq!(close.connection, open.connection);
    assert!(close.duration_ns > 0);
    assert_eq!(
        (
            world.node.slots.taken(),
            home.slots.taken(),
            echo.slots.taken()
        ),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn what_policy_does_not_name_looks_like_what_does_not_exist() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _vault = world.running("vault");
    let nowhere = "10.9.8.7:4444".parse().map(OriginalDst::new).unwrap();
    let door = "198.18.0.1:15001".parse().map(OriginalDst::new).unwrap();
    let door_dns = "198.18.0.1:53".parse().map(OriginalDst::new).unwrap();
    let wrong_port = world.at(2, port ^ 1);
    for to in [world.at(3, 700), nowhere, door, door_dns, wrong_port] {
        let (mut client, serving) = knock(&world, &home, to).await;
        assert_eq!(
            read_error(&mut client).await,
            io::ErrorKind::ConnectionReset,
            "{to}"
        );
        serving.await.unwrap();
    }
    let flows = world.flows();
    assert!(
        flows
            .iter()
            .all(|flow| flow.kind() == Kind::Connection && flow.outcome() == Outcome::Deny)
    );
    let about: Vec<_> = flows
        .iter()
        .map(|flow| (flow.destination.as_str(), flow.rule.as_str()))
        .collect();
    assert_eq!(
        about,
        [("vault", ""), ("", ""), ("", ""), ("", ""), ("echo", "")]
    );
    assert!(flows[2].reason.contains("own door"), "{}", flows[2].reason);
    assert!(flows[4].reason.contains("port"), "{}", flows[4].reason);
    assert!(
        timeout(Duration::from_millis(50), service.accept())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_workload_that_is_not_in_the_estate_reaches_nothing() {
    let (_service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    // A service of the agent's name is not the agent.
    let home = world.compartment(WorkloadKind::Service, "agent");
    let _echo = world.running("echo");
    let (mut client, _) = knock(&world, &home, world.at(2, port)).await;
    assert_eq!(
        read_error(&mut client).await,
        io::ErrorKind::ConnectionReset
    );
    assert!(world.flows()[0].reason.contains("not in the estate"));
}

#[tokio::test]
async fn a_new_generation_cuts_what_it_does_not_allow() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
    let (mut inside, _) = service.accept().await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(inside.read_u8().await.unwrap(), b'x');

    // The same again, from another file position: nothing happens to the connection.
    world.load(2, &format!("# moved\n{}", estate(port, 80)));
    client.write_all(b"y").await.unwrap();
    assert_eq!(inside.read_u8().await.unwrap(), b'y');

    world.load(3, &without_policy(port, 80));
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        read_error(&mut client).await,
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        read_error(&mut inside).await,
        io::ErrorKind::ConnectionReset
    );
    let flows = world.flows();
    let close = flows.last().unwrap();
    assert_eq!(
        (close.kind(), close.outcome(), close.bytes_sent),
        (Kind::Close, Outcome::Deny, 2)
    );
    assert!(
        close.reason.starts_with("revoked by generation 3: "),
        "{}",
        close.reason
    );
    assert_eq!(close.generation, 3);
}

#[tokio::test]
async fn a_service_that_moves_to_another_port_cuts_connections_to_the_old_one() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (_client, serving) = knock(&world, &home, world.at(2, port)).await;
    let _inside = service.accept().await.unwrap();
    world.load(2, &estate(port ^ 1, 80));
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(world.flows().last().unwrap().outcome(), Outcome::Deny);
}

#[tokio::test]
async fn either_end_leaving_ends_the_connection() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    for caller_leaves in [true, false] {
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let echo = world.running("echo");
        let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
        let (mut inside, _) = service.accept().await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(inside.read_u8().await.unwrap(), b'x');
        (if caller_leaves { &home } else { &echo }).leave("its launcher has gone");
        timeout(Duration::from_secs(5), serving)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            read_error(&mut client).await,
            io::ErrorKind::ConnectionReset
        );
        assert_eq!(
            read_error(&mut inside).await,
            io::ErrorKind::ConnectionReset
        );
        let flows = world.flows();
        let close = flows.last().unwrap();
        let who = if caller_leaves {
            "agent-1-1"
        } else {
            "echo-1-1"
        };
        assert_eq!(close.reason, format!("{who}: its launcher has gone"));
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_and_a_reset() {
    let (_listener, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let (mut client, _) = knock(&world, &home, world.at(2, port)).await;
    assert_eq!(
        read_error(&mut client).await,
        io::ErrorKind::ConnectionReset
    );
    let flows = world.flows();
    assert_eq!(flows.len(), 1);
    assert_eq!(
        (flows[0].kind(), flows[0].outcome()),
        (Kind::Connection, Outcome::Error)
    );
    assert_eq!(flows[0].reason, "no instance of echo is running");
}

#[tokio::test]
async fn a_service_that_does_not_listen_is_an_error_in_the_close_record() {
    let (listening, port) = listener().await;
    drop(listening);
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
    assert_eq!(
        read_error(&mut client).await,
        io::ErrorKind::ConnectionReset
    );
    serving.await.unwrap();
    let flows = world.flows();
    assert_eq!(
        (flows[1].kind(), flows[1].outcome()),
        (Kind::Close, Outcome::Error)
    );
    assert!(
        flows[1].reason.contains("service echo is not reached"),
        "{}",
        flows[1].reason
    );
}

#[tokio::test]
async fn nothing_passes_that_the_log_does_not_take() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    world.break_log().await;
    let (mut client, _) = knock(&world, &home, world.at(2, port)).await;
    assert_eq!(
        read_error(&mut client).await,
        io::ErrorKind::ConnectionReset
    );
    assert!(
        timeout(Duration::from_millis(100), service.accept())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn instances_take_turns() {
    let world = World::new(&estate(7, 80));
    let one = world.running("echo");
    let name = &one.workload.name;
    let chosen = world.node.registry.choose(name).unwrap();
    assert!(Arc::ptr_eq(&chosen, &one));
    one.leave("gone");
    assert!(
        world.node.registry.choose(name).is_none(),
        "who has left is not chosen"
    );
    let again = world.running("echo");
    assert!(Arc::ptr_eq(
        &world.node.registry.choose(name).unwrap(),
        &again
    ));
    world.node.registry.strike(&one);
    assert!(
        world.node.registry.choose(name).is_some(),
        "the old one does not strike out the new one"
    );
    world.node.registry.strike(&again);
    assert!(world.node.registry.choose(name).is_none());
}

#[tokio::test]
async fn a_compartment_has_only_so_many_connections() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let held: Vec<_> = std::iter::from_fn(|| home.slots.take()).collect();
    assert_eq!(held.len(), 500, "a quarter of the node's");
    let (mut client, _) = knock(&world, &home, world.at(2, port)).await;
    assert_eq!(
        read_error(&mut client).await,
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        world.flows()[0].reason,
        "agent-1-1 has 500 connections already"
    );
    drop(held);
    let (_client, _) = knock(&world, &home, world.at(2, port)).await;
    service.accept().await.unwrap();
}

#[tokio::test]
async fn who_is_called_much_may_still_call_when_the_node_is_nearly_full() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let guests: Vec<_> = (0..400).map_while(|_| home.slots.take()).collect();
    let others: Vec<_> = (0..1700).map_while(|_| world.node.slots.take()).collect();
    assert_eq!((guests.len(), others.len()), (400, 1700));
    let (_client, _) = knock(&world, &home, world.at(2, port)).await;
    timeout(Duration::from_secs(5), service.accept())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_live_connection_costs_little_memory() {
    let (_service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(door.local_addr().unwrap())
        .await
        .unwrap();
    let (arrived, _) = door.accept().await.unwrap();
    let serving = super::super::tcp::receive(&world.node, &home, arrived, world.at(2, port), None);
    let size = size_of_val(&serving);
    assert!(
        size <= 8 * 1024,
        "the future of a connection has grown to {size} bytes"
    );
}

#[tokio::test]
async fn a_service_that_changes_its_protocol_cuts_opaque_connections() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (_client, serving) = knock(&world, &home, world.at(2, port)).await;
    let _inside = service.accept().await.unwrap();
    let opaque = format!("protocol: tcp, port: {port}");
    let read = format!("protocol: http, port: {port}");
    let changed = estate(port, 80)
        .replace(&opaque, &read)
        .replace("[connect]", "[\"GET /\"]");
    world.load(2, &changed);
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
    let flows = world.flows();
    let close = flows.last().unwrap();
    assert!(
        close.reason.contains("no longer what it was"),
        "{}",
        close.reason
    );
}

#[tokio::test]
async fn a_stream_that_is_cut_short_never_looks_complete() {
    let (service, port) = listener().await;
    let world = World::new(&estate(port, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let _echo = world.running("echo");
    let (mut client, serving) = knock(&world, &home, world.at(2, port)).await;
    let (mut inside, _) = service.accept().await.unwrap();
    client.write_all(b"half").await.unwrap();
    assert_eq!(inside.read_u8().await.unwrap(), b'h');
    // What the kernel does with the sockets of a process that is killed.
    serving.abort();
    assert_eq!(
        read_error(&mut client).await,
        io::ErrorKind::ConnectionReset
    );
    let mut rest = Vec::new();
    assert!(inside.read_to_end(&mut rest).await.is_err());
}
