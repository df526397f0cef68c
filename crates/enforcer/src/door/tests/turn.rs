//! How much a door takes before others have their turn, at the edge.

use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringfence_model::Kind;
use tokio::time::timeout;

use super::*;
use crate::door::tcp::{self, TcpDoor};
use crate::door::udp::{self, UdpDoor};

const PATIENCE: Duration = Duration::from_secs(10);

/// Lets the door go on once, and nothing else.
pub(super) async fn once(watching: &mut (impl Future<Output = io::Error> + Unpin)) {
    std::future::poll_fn(
        |context| match std::pin::Pin::new(&mut *watching).poll(context) {
            Poll::Ready(cause) => panic!("the door broke: {cause}"),
            Poll::Pending => Poll::Ready(()),
        },
    )
    .await;
}

/// Lets it begin to wait, and comes back when its socket has something for it.
pub(super) async fn until_ready(watching: &mut (impl Future<Output = io::Error> + Unpin)) {
    let mut waits = false;
    let ready = std::future::poll_fn(|context| {
        if std::mem::replace(&mut waits, true) {
            return Poll::Ready(());
        }
        let watching = std::pin::Pin::new(&mut *watching);
        assert!(watching.poll(context).is_pending(), "the door broke");
        Poll::Pending
    });
    timeout(PATIENCE, ready).await.expect("nothing comes");
}

/// `ARRIVING`: what was accepted holds a descriptor, and may not be more than is about to be judged.
#[tokio::test(flavor = "current_thread")]
async fn sixteen_connections_that_nobody_has_judged_are_accepted_and_no_more() {
    let world = World::new(&estate(9, 80));
    let home = world.compartment(Kind::Agent, "agent");
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let queue = door.try_clone().unwrap();
    let at = door.local_addr().unwrap();
    let clients: Vec<_> = (0..60)
        .map(|_| std::net::TcpStream::connect(at).unwrap())
        .collect();
    let door = TcpDoor::new(door.into(), false).unwrap();
    let all = home.arriving.available_permits();
    let node = Arc::clone(&world.node);
    let mut watching = Box::pin(tcp::watch(node, Arc::clone(&home), door));
    until_ready(&mut watching).await;
    once(&mut watching).await;
    // Nothing has run since that could judge one of them. What is left waits in the kernel.
    let mut left = 0;
    while queue.accept().is_ok() {
        left += 1;
    }
    assert_eq!(clients.len() - left, 16);
    // Each one that is judged makes room. The door itself holds one place while it waits for the next.
    let until = Instant::now() + PATIENCE;
    while home.arriving.available_permits() + 1 < all {
        assert!(Instant::now() < until, "they are not judged");
        tokio::task::yield_now().await;
        once(&mut watching).await;
    }
    assert_eq!(world.flows_when(16).await.len(), 16);
}

/// `DATAGRAMS_PER_TURN`: whoever floods a door does not keep its worker.
#[tokio::test(flavor = "current_thread")]
async fn a_door_that_is_flooded_with_datagrams_lets_others_have_their_turn() {
    let world = World::new(&estate(9, 80));
    let home = world.compartment(Kind::Agent, "agent");
    let door = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (queue, answers) = (door.try_clone().unwrap(), door.try_clone().unwrap());
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = door.local_addr().unwrap();
    // Nobody says where they were going, so none of them is one for policy; they take their turn all the same.
    for _ in 0..200 {
        client.send_to(b"x", at).unwrap();
    }
    let door = UdpDoor::new(door.into(), answers.into()).unwrap();
    let node = Arc::clone(&world.node);
    let mut watching = Box::pin(udp::watch(node, home, door));
    until_ready(&mut watching).await;
    once(&mut watching).await;
    let mut left = 0;
    while queue.recv(&mut [0; 9]).is_ok() {
        left += 1;
    }
    assert_eq!(200 - left, 64);
}
