//! What the runtime bounds, in the runtime that serves.

use std::io::Write;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `WORKERS`.
#[test]
fn a_large_machine_gets_no_more_workers_and_a_small_one_as_many_as_it_has_cores() {
    for (cores, workers) in [(1, 1), (2, 2), (WORKERS, WORKERS), (64, WORKERS)] {
        let runtime = runtime(cores).unwrap();
        assert_eq!(runtime.metrics().num_workers(), workers, "{cores} cores");
    }
}

/// `LOOKUP_THREADS`: look-ups are what the runtime's further threads are for. One more waits until one of them is done.
#[test]
fn one_look_up_too_many_waits_for_another_to_end() {
    let runtime = runtime(2).unwrap();
    let running = Arc::new(AtomicUsize::new(0));
    let (one_ends, ends) = mpsc::channel::<()>();
    let ends = Arc::new(Mutex::new(ends));
    for _ in 0..LOOKUP_THREADS + 3 {
        let (running, ends) = (Arc::clone(&running), Arc::clone(&ends));
        runtime.spawn_blocking(move || {
            running.fetch_add(1, Ordering::SeqCst);
            let _one_or_all_may_end = ends.lock().unwrap().recv();
        });
    }
    let count = || running.load(Ordering::SeqCst);
    wait_until("as many as may", || count() == LOOKUP_THREADS);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(count(), LOOKUP_THREADS);
    one_ends.send(()).unwrap();
    wait_until("the next one", || count() == LOOKUP_THREADS + 1);
    drop(one_ends);
    wait_until("all of them", || count() == LOOKUP_THREADS + 3);
}

/// `TURNS_PER_LOOK`: who waits for a socket waits for so many turns of who is always ready, and not for more.
#[test]
fn a_socket_is_looked_at_again_after_so_many_turns_of_others() {
    const ROUNDS: usize = 50;
    let runtime = runtime(1).unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    let (mut near, far) = StdStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    // Always ready, and in some of its turns it says something to the neighbour.
    let count = Arc::clone(&turns);
    let (told, written) = mpsc::channel();
    runtime.spawn(std::future::poll_fn(move |cx| {
        let turn = count.fetch_add(1, Ordering::Relaxed);
        if turn > 0 && turn.is_multiple_of(1009) {
            near.write_all(b"x").unwrap();
            told.send(turn).unwrap();
        }
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    let noticed = runtime.block_on(async {
        let neighbour = tokio::spawn(async move {
            let mut far = UnixStream::from_std(far).unwrap();
            let mut noticed = Vec::new();
            while noticed.len() < ROUNDS {
                far.read_u8().await.unwrap();
                noticed.push(turns.load(Ordering::Relaxed));
            }
            noticed
        });
        tokio::time::timeout(PATIENCE, neighbour)
            .await
            .unwrap()
            .unwrap()
    });
    let mut waited: Vec<_> = noticed
        .iter()
        .zip(written)
        .map(|(at, said)| at - said)
        .collect();
    waited.sort_unstable();
    // The one that is called has its turn behind those that are ready already. On a busy machine the thread that looks is
    // itself kept waiting now and then: most of the rounds tell, and not the worst.
    let usual = waited[ROUNDS / 2];
    assert!(usual <= TURNS_PER_LOOK as usize + 2, "{usual} turns");
    runtime.shutdown_background();
}
