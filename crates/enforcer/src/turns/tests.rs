use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::*;
use crate::limits::TURNS_PER_COMPARTMENT;

/// Ready again at once. The runtime's own `yield_now` waits until it has looked at all sockets.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Work that counts its turns, for ever.
fn busy(turns: &Arc<Turns>) -> Arc<AtomicUsize> {
    let counted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counted);
    turns.spawn(async move {
        loop {
            count.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    });
    counted
}

#[tokio::test]
async fn one_connection_gets_as_many_turns_as_a_thousand_of_another_compartment() {
    let (crowd, alone) = (Turns::new(1), Turns::new(1));
    let many: Vec<_> = (0..1000).map(|_| busy(&crowd)).collect();
    let one = busy(&alone);
    while one.load(Ordering::Relaxed) < 5000 {
        yield_now().await;
    }
    let theirs: usize = many.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    assert!((4900..=5100).contains(&theirs), "{theirs} turns");
    // And among themselves they take them in order.
    let each: Vec<_> = many
        .iter()
        .map(|count| count.load(Ordering::Relaxed))
        .collect();
    let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
    assert!(most - least <= 2, "{least} to {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_forgotten() {
    let turns = Turns::new(3);
    let left = Arc::new(AtomicUsize::new(500));
    let done = Arc::new(Notify::new());
    for number in 0..500_u64 {
        let (left, done) = (Arc::clone(&left), Arc::clone(&done));
        turns.spawn(async move {
            for _ in 0..20 {
                // Woken by another thread, by a timer, by itself, and while it runs.
                let (sender, receiver) = oneshot::channel();
                tokio::spawn(async move { sender.send(()).unwrap() });
                receiver.await.unwrap();
                yield_now().await;
                tokio::time::sleep(Duration::from_micros(number)).await;
            }
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                done.notify_one();
            }
        });
    }
    tokio::time::timeout(Duration::from_secs(60), done.notified())
        .await
        .unwrap();
    let state = turns.state();
    assert!(state.waiting.is_empty());
}

#[tokio::test]
async fn a_place_is_given_back_by_who_panics_and_by_who_is_dropped() {
    let turns = Turns::new(1);
    let failing = tokio::spawn(turns.within(async {
        yield_now().await;
        panic!("a defect");
    }));
    assert!(failing.await.is_err());
    assert_eq!(turns.state().taken, 0);

    // One has the place, one waits for it: both are dropped.
    let holds = tokio::spawn(turns.within(std::future::pending()));
    yield_now().await;
    holds.abort();
    assert!(holds.await.is_err());
    let mut called = Box::pin(turns.within(std::future::pending()));
    let mut waits = Box::pin(turns.within(std::future::pending()));
    let mut cx = Context::from_waker(Waker::noop());
    turns.state().taken = 1;
    assert!(called.as_mut().poll(&mut cx).is_pending());
    assert!(waits.as_mut().poll(&mut cx).is_pending());
    assert_eq!(turns.state().waiting.len(), 2);
    drop(waits);
    assert_eq!(turns.state().waiting.len(), 1);
    // The place becomes free, and goes to the first; dropped before it could use it, it passes it on.
    let next = turns.pass_on(&mut turns.state()).unwrap();
    assert_eq!(next.place(), Place::Called);
    drop(next);
    drop(called);
    assert_eq!(turns.state().taken, 0);
}

#[tokio::test]
async fn a_wake_after_the_end_takes_no_place() {
    let turns = Turns::new(1);
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(turns.within(async move {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        drop(sender.send(waker));
    }))
    .await
    .unwrap();
    receiver.await.unwrap().wake();
    assert_eq!(turns.state().taken, 0);
}

/// `TURNS_PER_COMPARTMENT`: of however many are ready, so many are in the runtime's queue.
#[tokio::test]
async fn so_many_of_a_compartment_are_in_the_runtimes_queue_and_no_more() {
    let world = crate::testing::World::new(
        "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: { name: agent }\nspec: {}\n",
    );
    let home = world.compartment(ringfence_model::Kind::Agent, "agent");
    let turns = &home.turns;
    let all: Vec<_> = (0..100).map(|_| busy(turns)).collect();
    let neighbour = busy(&Turns::new(1));
    let its = || neighbour.load(Ordering::Relaxed);
    while all.iter().any(|count| count.load(Ordering::Relaxed) == 0) {
        yield_now().await;
    }
    while its() < 1000 {
        yield_now().await;
        let state = turns.state();
        assert!(state.taken <= TURNS_PER_COMPARTMENT, "{}", state.taken);
        assert_eq!(state.taken + state.waiting.len(), all.len());
    }
    // While the neighbour has one turn, theirs are as many as their places.
    let theirs: usize = all.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    let most = (its() + 1) * TURNS_PER_COMPARTMENT;
    assert!((most * 9 / 10..=most).contains(&theirs), "{theirs} turns");
}
