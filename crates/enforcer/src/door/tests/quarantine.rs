//! A quarantine: both directions, every protocol, every mode, at once; and nobody else.

use std::pin::{Pin, pin};
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringfence_compartment::link::Quarantine;
use ringfence_model::Name;
use ringfence_model::flow::{Kind, Outcome};
use tokio::io::AsyncReadExt;

use super::dns::ask;
use super::scene::{SOON, Stage};
use super::*;
use crate::connection::{Arrival, Connection, Opened};
use crate::watch::Watch;

const ALL: &str = "  initiate:\n    - { service: web, operations: [\"GET /**\"] }\n    - { service: echo, operations: [connect] }\n";
const LONG: &str = "GET /long HTTP/1.1\r\nHost: web\r\n\r\n";
const SHORT: &str = "GET /short HTTP/1.1\r\nHost: web\r\n\r\n";
const NXDOMAIN: (u8, Option<Vec<u8>>) = (3, None);

fn quarantine(world: &World, names: &[&str]) {
    let list = names.iter().map(|name| Quarantine {
        name: Name::new(name).unwrap(),
        why: "since noon by root: odd".to_owned(),
    });
    world.node.current.quarantine(list.collect());
}

#[tokio::test]
async fn an_initiator_is_cut_off_from_everything_at_once() {
    let mut stage = Stage::new(ALL, "").await;
    let mut under_way = stage.web().await;
    under_way.ask(LONG).await;
    let mut idle = stage.web().await;
    idle.ask(SHORT).await;
    let mut opaque = stage.echo().await;
    opaque.until("!").await;
    quarantine(&stage.world, &["agent"]);
    tokio::join!(
        under_way.ends_in_a_reset(SOON),
        idle.ends_in_a_reset(SOON),
        opaque.ends_in_a_reset(SOON)
    );
    let closes = stage.closes();
    assert_eq!(closes.len(), 3);
    for close in closes {
        assert_eq!(close.outcome(), Outcome::Deny);
        assert_eq!(
            close.reason,
            "agent agent is quarantined since noon by root: odd"
        );
    }
    // A generation that is taken meanwhile changes nothing, whatever it allows.
    stage.load(ALL, "");
    let mode = |mode| {
        let until = jiff::Zoned::now().date().tomorrow().unwrap();
        format!("  mode: {mode}\n  until: {until}\n{ALL}")
    };
    for policy in [ALL.to_owned(), mode("shadow"), mode("learn")] {
        stage.load(&policy, "");
        assert_eq!(stage.web().await.answer(SHORT).await, "");
        assert_eq!(stage.echo().await.answer("").await, "");
    }
    let denied: Vec<_> = stage
        .world
        .flows()
        .into_iter()
        .filter(|flow| flow.kind() == Kind::Connection && flow.outcome() == Outcome::Deny)
        .collect();
    assert_eq!(denied.len(), 6);
    assert!(
        denied
            .iter()
            .all(|flow| flow.destination == "web" || flow.destination == "echo")
    );
    // Lifted, and all is as policy says.
    quarantine(&stage.world, &[]);
    stage.load(ALL, "");
    assert_eq!(stage.ask(SHORT).await.0, 200);
}

#[tokio::test]
async fn a_receiver_is_cut_off_and_its_neighbour_is_not() {
    let stage = Stage::new(ALL, "").await;
    let mut kept = stage.web().await;
    kept.ask(SHORT).await;
    let mut opaque = stage.echo().await;
    opaque.until("!").await;
    let (web, echo) = (Name::new("web").unwrap(), Name::new("echo").unwrap());
    let live = |name: &Name| {
        let touched = stage.world.node.live.touched(std::slice::from_ref(name));
        touched.connections
    };
    assert_eq!((live(&web), live(&echo)), (1, 1));
    quarantine(&stage.world, &["echo"]);
    opaque.ends_in_a_reset(SOON).await;
    kept.ask(SHORT).await;
    assert_eq!((live(&web), live(&echo)), (1, 0));
    assert_eq!(stage.echo().await.answer("").await, "");
    quarantine(&stage.world, &["web"]);
    kept.ends_in_a_reset(SOON).await;
    assert_eq!(stage.web().await.answer(SHORT).await, "");
    // The first one was released by the second list.
    stage.echo().await.until("!").await;
}

#[tokio::test]
async fn names_are_answered_neither_to_one_nor_of_one() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(ringfence_model::Kind::Agent, "agent");
    assert_eq!(ask(&world, &home, "echo", 1).0, 0);
    quarantine(&world, &["echo"]);
    assert_eq!(ask(&world, &home, "echo", 1), NXDOMAIN);
    assert_eq!(ask(&world, &home, "web", 1).0, 0);
    quarantine(&world, &["agent"]);
    for name in ["echo", "web", "agent"] {
        assert_eq!(ask(&world, &home, name, 1), NXDOMAIN, "{name}");
    }
}

#[tokio::test]
async fn a_connection_for_names_is_cut_and_a_new_one_is_refused() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(ringfence_model::Kind::Agent, "agent");
    let server = OriginalDst::new("9.9.9.9:53".parse().unwrap());
    let (mut live, serving) = knock(&world, &home, server).await;
    world.flows_when(1).await;
    quarantine(&world, &["agent"]);
    let ended = tokio::time::timeout(Duration::from_secs(20), live.read_u8()).await;
    let cause = ended.expect("it is not cut").unwrap_err();
    assert_eq!(cause.kind(), std::io::ErrorKind::ConnectionReset);
    serving.await.unwrap();
    let (_late, serving) = knock(&world, &home, server).await;
    serving.await.unwrap();
    let flows = world.flows();
    let outcomes: Vec<_> = flows
        .iter()
        .map(|flow| (flow.kind(), flow.outcome()))
        .collect();
    let denied = Outcome::Deny;
    assert_eq!(
        outcomes,
        [
            (Kind::Connection, Outcome::Allow),
            (Kind::Close, denied),
            (Kind::Connection, denied)
        ]
    );
}

/// One look, as a relay takes it, outside of any task.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A change comes at any moment around the first check: either the check finds it, or the watch is told of it.
#[test]
fn no_change_falls_between_a_watch_and_its_first_check() {
    const ROUNDS: usize = 20_000;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let world = World::new(&estate(7, 80));
    let home = world.compartment(ringfence_model::Kind::Agent, "agent");
    let _echo = world.running("echo");
    let (begin, done) = (Barrier::new(2), Barrier::new(2));
    let pause = |turns: usize| (0..turns).for_each(|_| std::hint::spin_loop());
    let (mut found, mut told, mut missed) = (0, 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                begin.wait();
                pause(round * 7 % 512);
                quarantine(&world, &["echo"]);
                done.wait();
            }
        });
        for round in 0..ROUNDS {
            quarantine(&world, &[]);
            let opened = Connection::open(&world.node, &home, world.at(2, 7), Arrival::Connection);
            let Opened::Yes(connection) = opened else {
                panic!("it is not let in");
            };
            begin.wait();
            pause(round * 11 % 512);
            let mut watch = pin!(connection.watch(None));
            let first = poll(watch.as_mut());
            done.wait();
            match first {
                Poll::Ready(_) => found += 1,
                Poll::Pending if poll(watch.as_mut()).is_ready() => told += 1,
                // Both threads go on to the end: one that waits for the other would wait for ever.
                Poll::Pending => missed += 1,
            }
        }
    });
    assert_eq!(missed, 0, "of {ROUNDS}");
    assert!(found > 100 && told > 100, "no race: {found} {told}");
}

/// The same where one listener stands for many requests: what has changed since its last look is told at the next.
#[tokio::test]
async fn a_watch_over_many_requests_hears_of_what_came_before_it_listens() {
    let world = World::new(&estate(7, 80));
    let home = world.compartment(ringfence_model::Kind::Agent, "agent");
    let _echo = world.running("echo");
    let opened = Connection::open(&world.node, &home, world.at(2, 7), Arrival::Connection);
    let Opened::Yes(connection) = opened else {
        panic!("it is not let in");
    };
    let mut watch = Watch::new(&connection);
    assert!(watch.check(&connection, None).is_ok());
    quarantine(&world, &["echo"]);
    tokio::time::timeout(SOON, watch.changed(&connection))
        .await
        .expect("it is not told");
    assert!(watch.check(&connection, None).is_err());
}
