//! Launchers that take their time, driven to the edge of it.

use std::os::fd::AsFd;
use std::time::Duration;

use ringfence_compartment::channel;
use ringfence_model::flow::Kind as FlowKind;
use ringfence_model::{Kind as WorkloadKind, Name};
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{Stopped, World, until};

const ESTATE: &str =
    "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: { name: agent }\nspec: {}\n";

/// A launcher's side of a fresh compartment, and its life here.
fn adopt(world: &World, instance: &str) -> (Link, JoinHandle<()>) {
    let (launcher, enforcer) = channel::pair().unwrap();
    let workload = WorkloadId {
        kind: WorkloadKind::Agent,
        name: Name::new("agent").unwrap(),
    };
    let instance = InstanceId(instance.into());
    let own = rustix::process::geteuid().as_raw();
    let living = live(Arc::clone(&world.node), instance, workload, own, enforcer);
    (Link::new(launcher).unwrap(), tokio::spawn(living))
}

fn nothing_to_report() -> ToEnforcer {
    ToEnforcer::Attempts {
        attempts: Vec::new(),
    }
}

/// The reason why a compartment was put out, the only one that was.
fn put_out(world: &World) -> String {
    let mut events = world.flows();
    events.retain(|flow| flow.kind() == FlowKind::Event);
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0].operation, "compartment put out");
    events.remove(0).reason
}

/// `ARM_TIMEOUT`, which a launcher does not prolong by saying other things.
#[tokio::test]
async fn a_launcher_that_never_asks_to_be_armed_is_put_out_in_time_and_no_other_with_it() {
    let world = World::new(ESTATE);
    let time = Stopped::now();
    let (talkative, its_life) = adopt(&world, "agent-1-1");
    tokio::task::yield_now().await;
    time.pass(ARM_TIMEOUT / 2).await;
    // The neighbour comes later, and has its own time.
    let (neighbour, its_neighbours) = adopt(&world, "agent-1-2");
    talkative.send(&nothing_to_report()).await.unwrap();
    let heard = talkative.recv::<FromEnforcer>().await.unwrap().unwrap();
    assert_eq!(heard.message, FromEnforcer::Recorded { messages: 1 });
    time.ends_after(ARM_TIMEOUT / 2, &its_life).await;
    assert!(talkative.recv::<FromEnforcer>().await.unwrap().is_none());
    let reason = put_out(&world);
    let expected = format!("agent-1-1: it did not ask to be armed within {ARM_TIMEOUT:?}");
    assert_eq!(reason, expected);
    neighbour.send(&nothing_to_report()).await.unwrap();
    assert!(neighbour.recv::<FromEnforcer>().await.unwrap().is_some());
    assert!(!its_neighbours.is_finished());
}

/// Says so much that answers to it find no room, and reads none of them.
async fn deafen(launcher: &Link) {
    let full = |launcher: &Link| match launcher.send_with(&nothing_to_report(), &[]) {
        Ok(()) => false,
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => true,
        Err(cause) => panic!("{cause}"),
    };
    // Full for good only when nobody takes anything off the other end either.
    let mut for_long = 0;
    until("nobody takes what the launcher says", || {
        for_long = if full(launcher) { for_long + 1 } else { 0 };
        for_long == 100
    })
    .await;
}

/// `LINK_SEND_TIMEOUT`.
#[tokio::test]
async fn a_launcher_that_takes_no_messages_is_put_out_in_time() {
    let world = World::new(ESTATE);
    let time = Stopped::now();
    let (deaf, its_life) = adopt(&world, "agent-1-1");
    deafen(&deaf).await;
    time.ends_after(LINK_SEND_TIMEOUT, &its_life).await;
    assert_eq!(put_out(&world), "agent-1-1: it takes no messages");
}

#[tokio::test]
async fn a_launcher_that_listens_again_just_in_time_stays() {
    let world = World::new(ESTATE);
    let time = Stopped::now();
    let (slow, its_life) = adopt(&world, "agent-1-1");
    deafen(&slow).await;
    time.pass(LINK_SEND_TIMEOUT - Duration::from_millis(1))
        .await;
    let mut heard = 0;
    let mut for_long = 0;
    until("it has heard all", || {
        let mut next = std::pin::pin!(slow.recv::<FromEnforcer>());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match next.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(packet) => {
                assert!(packet.unwrap().is_some(), "put out after {heard}");
                (heard, for_long) = (heard + 1, 0);
            }
            std::task::Poll::Pending => for_long += 1,
        }
        for_long == 100
    })
    .await;
    assert!(heard > 0);
    time.pass(LINK_SEND_TIMEOUT).await;
    slow.send(&nothing_to_report()).await.unwrap();
    let heard = slow.recv::<FromEnforcer>().await.unwrap().unwrap();
    assert!(matches!(heard.message, FromEnforcer::Recorded { .. }));
    assert!(!its_life.is_finished());
    assert!(world.flows().is_empty());
}

/// The same when the compartment is not accepted, which its launcher does not want to hear: nobody waits for long.
#[tokio::test]
async fn a_refusal_that_a_launcher_does_not_take_is_given_up_in_time() {
    let world = World::new(ESTATE);
    let time = Stopped::now();
    let (near, far) = channel::pair().unwrap();
    // What the enforcer can say is full before it says anything.
    let filler = Link::new(rustix::io::dup(&far).unwrap()).unwrap();
    while filler.send_with(&FromEnforcer::Armed, &[]).is_ok() {}
    let workload = WorkloadId {
        kind: WorkloadKind::Agent,
        name: Name::new("agent").unwrap(),
    };
    let instance = InstanceId("agent-1-1".into());
    let own = rustix::process::geteuid().as_raw();
    let living = live(Arc::clone(&world.node), instance, workload, own, far);
    let living = tokio::spawn(living);
    let launcher = Link::new(near).unwrap();
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sockets = ToEnforcer::Sockets {
        sockets: vec![ringfence_compartment::link::Socket::TcpDoor4],
    };
    launcher.send_with(&sockets, &[host.as_fd()]).unwrap();
    // Taken, looked at and refused by then.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    time.ends_after(LINK_SEND_TIMEOUT, &living).await;
    assert!(put_out(&world).contains("not accepted"));
}
