//! The bounds of a door, driven to their edges: descriptors, long queries, and who keeps a connection and says nothing.

use std::os::fd::OwnedFd;
use std::time::Duration;

use ringfence_compartment::datagram::Received;
use ringfence_model::Kind as WorkloadKind;
use ringfence_model::flow::{Kind, Outcome};
use rustix::net::{AddressFamily, SocketType, ipproto, socket, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::dns::{A, query};
use super::turn::{once, until_ready};
use super::*;
use crate::door::tcp::{self, TcpDoor};
use crate::door::udp;
use crate::limits::{ACCEPT_PAUSE, DNS_DATAGRAM, DNS_TCP_IDLE};
use crate::testing::{Stopped, WantOfDescriptors, alone, until};

const A_MOMENT: Duration = Duration::from_millis(1);

/// `ACCEPT_PAUSE`: the connection waits in the kernel, the worker is free for others, and no connection is lost.
#[tokio::test]
async fn a_door_without_a_descriptor_to_spare_waits_and_then_goes_on() {
    const HERE: &str = concat!(
        module_path!(),
        "::a_door_without_a_descriptor_to_spare_waits_and_then_goes_on"
    );
    if !alone(HERE, "") {
        return;
    }
    let world = World::new(&estate(9, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = std::net::TcpStream::connect(door.local_addr().unwrap()).unwrap();
    let door = TcpDoor::new(door.into(), false).unwrap();
    let mut watching = Box::pin(tcp::watch(Arc::clone(&world.node), home, door));
    until_ready(&mut watching).await;
    let time = Stopped::now();
    let want = WantOfDescriptors::now();
    once(&mut watching).await;
    drop(want);
    // There are descriptors again. It does not know until it has waited.
    time.pass(ACCEPT_PAUSE - A_MOMENT).await;
    once(&mut watching).await;
    time.pass(Duration::ZERO).await;
    assert!(world.flows().is_empty(), "it does not wait");
    time.pass(A_MOMENT * 2).await;
    once(&mut watching).await;
    until("it is accepted and judged", || world.flows().len() == 1).await;
}

/// A query for `echo` of exactly so many bytes, the rest of which is padding (RFC 7830).
fn padded(length: usize) -> Vec<u8> {
    let mut bytes = query("echo", A);
    bytes[11] = 1;
    let padding = u16::try_from(length - bytes.len() - 15).unwrap();
    // The root, OPT, 1232 bytes, nothing extended.
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    bytes.extend((padding + 4).to_be_bytes());
    bytes.extend([0, 12]);
    bytes.extend(padding.to_be_bytes());
    bytes.resize(length, 0);
    bytes
}

/// `DNS_DATAGRAM`.
#[tokio::test]
async fn a_query_as_long_as_may_be_is_answered_and_one_byte_more_meets_silence() {
    let answers = match socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::UDP)) {
        Ok(answers) => Arc::new(answers),
        Err(cause) => return eprintln!("skipped: a raw socket needs root: {cause}"),
    };
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_nonblocking(true).unwrap();
    let send = |payload: &[u8], answers: &Arc<OwnedFd>| {
        let received = Received {
            length: payload.len(),
            cut: false,
            source: client.local_addr().unwrap(),
            destination: OriginalDst::new("127.0.77.99:53".parse().unwrap()),
        };
        udp::arrive(&world.node, &home, answers, &received, payload);
    };
    let mut heard = [0; 600];
    send(&padded(DNS_DATAGRAM), &answers);
    let mut length = 0;
    until("an answer", || {
        length = client.recv(&mut heard).unwrap_or(0);
        length > 0
    })
    .await;
    assert_eq!(heard[3] & 0xf, 0, "{:?}", &heard[..length]);
    send(&padded(DNS_DATAGRAM + 1), &answers);
    // The neighbour of a datagram is the next one, whose answer would come behind.
    send(&query("echo", A), &answers);
    until("the next answer", || client.recv(&mut heard).is_ok()).await;
    assert!(client.recv(&mut heard).is_err(), "one answer too many");
    let flows = world.flows();
    let outcomes: Vec<_> = flows.iter().map(|flow| flow.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Allow, Outcome::Deny, Outcome::Allow]);
}

/// A connection for names with small buffers, and the task that serves it.
async fn small(world: &World, home: &Arc<Compartment>) -> (TcpStream, JoinHandle<()>) {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    let client = client.connect(door.local_addr().unwrap()).await.unwrap();
    let (arrived, _) = door.accept().await.unwrap();
    sockopt::set_socket_send_buffer_size(&arrived, 4096).unwrap();
    let (node, home) = (Arc::clone(&world.node), Arc::clone(home));
    let server = OriginalDst::new("9.9.9.9:53".parse().unwrap());
    let serving = async move { tcp::receive(&node, &home, arrived, server, None).await };
    (client, tokio::spawn(serving))
}

fn framed(name: &str) -> Vec<u8> {
    let query = query(name, A);
    let length = u16::try_from(query.len()).unwrap();
    [&length.to_be_bytes()[..], &query].concat()
}

/// Why its connection for names ended.
fn end_of(world: &World) -> String {
    let flows = world.flows();
    let close = flows.iter().find(|flow| flow.kind() == Kind::Close);
    close.unwrap().reason.clone()
}

/// `DNS_TCP_IDLE`: before the first query, between two, and within one.
#[tokio::test]
async fn a_connection_for_names_that_says_nothing_more_is_closed_in_time() {
    for said in [Vec::new(), framed("echo"), framed("echo")[..9].to_vec()] {
        let world = World::new(&estate(7, 80));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let (mut client, serving) = small(&world, &home).await;
        let time = Stopped::now();
        time.pass(Duration::ZERO).await;
        // Whatever is said counts from when it is said.
        time.pass(DNS_TCP_IDLE / 2).await;
        client.write_all(&said).await.unwrap();
        if said.len() > 9 {
            let length = client.read_u16().await.unwrap();
            client
                .read_exact(&mut vec![0; length.into()])
                .await
                .unwrap();
        }
        time.pass(Duration::ZERO).await;
        let left = if said.is_empty() {
            DNS_TCP_IDLE / 2
        } else {
            DNS_TCP_IDLE
        };
        time.ends_after(left, &serving).await;
        assert_eq!(end_of(&world), "idle for too long");
        assert_eq!(home.dns_slots.taken(), 0);
    }
}

/// `DNS_TCP_IDLE`, of who asks and does not listen.
#[tokio::test]
async fn a_connection_for_names_that_takes_no_answers_is_cut_in_time() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let (client, serving) = small(&world, &home).await;
    let time = Stopped::now();
    let all = framed("echo").repeat(700);
    let mut sent = 0;
    let mut operations = (0, 0);
    until("no more is answered", || {
        sent += client.try_write(&all[sent..]).unwrap_or(0);
        let answered = world.flows().len();
        operations = if answered == operations.0 && answered > 1 {
            (answered, operations.1 + 1)
        } else {
            (answered, 0)
        };
        operations.1 == 20
    })
    .await;
    assert!(operations.0 < 700, "all of it was answered");
    time.ends_after(DNS_TCP_IDLE, &serving).await;
    assert_eq!(end_of(&world), "the caller takes no answer");
}
