use std::net::TcpListener;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::*;
use crate::testing::{WantOfDescriptors, alone, until};

const PATIENCE: Duration = Duration::from_secs(20);

fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "door").count()
}

/// A door, and the other holder of the same open file.
fn door() -> (OwnedFd, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    (listener.try_clone().unwrap().into(), listener)
}

/// Like a launcher that wants the enforcer to hang: clears the mode and takes every connection it can get.
fn steal(listener: &TcpListener, stop: &AtomicBool, stolen: &AtomicUsize) {
    while !stop.load(Ordering::Acquire) {
        listener.set_nonblocking(true).unwrap();
        if listener.accept().is_ok() {
            stolen.fetch_add(1, Ordering::Relaxed);
        }
        listener.set_nonblocking(false).unwrap();
    }
}

#[tokio::test]
async fn takes_what_arrives_and_ends_with_its_owner() {
    ringfence_compartment::interrupt::prepare().unwrap();
    let (shared, listener) = door();
    let mut door = Apart::new(shared).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, peer) = timeout(PATIENCE, door.accept()).await.unwrap().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    // As every socket of the runtime has to be, and without a wait at its end.
    assert!(
        rustix::fs::fcntl_getfl(&accepted)
            .unwrap()
            .contains(rustix::fs::OFlags::NONBLOCK)
    );
    drop(door);
    let end = Instant::now() + PATIENCE;
    while threads() > 0 {
        assert!(Instant::now() < end, "the thread goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_lingering_door_makes_no_lingering_connections() {
    ringfence_compartment::interrupt::prepare().unwrap();
    let (shared, listener) = door();
    let mut door = Apart::new(shared).unwrap();
    let long = Some(Duration::from_secs(60_000));
    rustix::net::sockopt::set_socket_linger(&listener, long).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = timeout(PATIENCE, door.accept()).await.unwrap().unwrap();
    assert_eq!(
        rustix::net::sockopt::socket_linger(&accepted).unwrap(),
        None
    );
}

/// One worker, as in a runtime with one core: were it held up, nothing here would go on.
#[tokio::test]
async fn a_launcher_that_steals_and_blocks_holds_up_nobody_else() {
    ringfence_compartment::interrupt::prepare().unwrap();
    let (shared, listener) = door();
    let at = listener.local_addr().unwrap();
    let (stop, stolen) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let thief = std::thread::spawn({
        let (stop, stolen) = (Arc::clone(&stop), Arc::clone(&stolen));
        move || steal(&listener, &stop, &stolen)
    });
    let mut door = Apart::new(shared).unwrap();
    let callers = std::thread::spawn(move || {
        for _ in 0..2_000 {
            drop(TcpStream::connect(at));
        }
    });
    let (mut taken, mut longest) = (0, Duration::ZERO);
    let end = Instant::now() + PATIENCE;
    while !callers.is_finished() {
        assert!(Instant::now() < end, "the callers do not get through");
        let before = Instant::now();
        if timeout(Duration::from_millis(5), door.accept())
            .await
            .is_ok()
        {
            taken += 1;
        }
        longest = longest.max(before.elapsed());
    }
    assert!(longest < Duration::from_secs(5), "held up for {longest:?}");
    assert!(
        stolen.load(Ordering::Relaxed) > 0 && taken > 0,
        "no race was run"
    );
    // The thread may hang in `accept` now, with the mode cleared and nothing to take. It ends all the same.
    drop(door);
    stop.store(true, Ordering::Release);
    thief.join().unwrap();
    let end = Instant::now() + PATIENCE;
    while threads() > 0 {
        assert!(Instant::now() < end, "the thread hangs for good");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `APART_QUEUE`: further ones wait in the kernel, and holding them costs no descriptor. The thread has one in its hand.
#[tokio::test]
async fn what_nobody_takes_stays_in_the_kernel() {
    ringfence_compartment::interrupt::prepare().unwrap();
    let (shared, listener) = door();
    let at = listener.local_addr().unwrap();
    let mut door = Apart::new(shared).unwrap();
    let clients: Vec<_> = (0..3 * APART_QUEUE)
        .map(|_| TcpStream::connect(at).unwrap())
        .collect();
    until("the queue is full", || door.arrived.len() == APART_QUEUE).await;
    // Whatever it may do more, it does.
    std::thread::sleep(Duration::from_millis(100));
    let mut left = 0;
    while listener.accept().is_ok() {
        left += 1;
    }
    assert_eq!(clients.len() - left, APART_QUEUE + 1);
    // None of those is lost, and whoever comes when there is room again is taken.
    for _ in 0..=APART_QUEUE {
        timeout(PATIENCE, door.accept()).await.unwrap().unwrap();
    }
    let late = TcpStream::connect(at).unwrap();
    let (_, peer) = timeout(PATIENCE, door.accept()).await.unwrap().unwrap();
    assert_eq!(peer, late.local_addr().unwrap());
}

/// `ACCEPT_PAUSE`, in the door's own thread.
#[tokio::test]
async fn a_door_without_a_descriptor_to_spare_waits_and_tells_nothing() {
    const HERE: &str = concat!(
        module_path!(),
        "::a_door_without_a_descriptor_to_spare_waits_and_tells_nothing"
    );
    if !alone(HERE, "") {
        return;
    }
    ringfence_compartment::interrupt::prepare().unwrap();
    let (shared, listener) = door();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let want = WantOfDescriptors::now();
    let mut door = Apart::new(shared).unwrap();
    let told = timeout(ACCEPT_PAUSE * 4, door.accept()).await;
    assert!(told.is_err(), "{told:?}");
    assert!(door.arrived.is_empty(), "errors queue up");
    let spent = cpu_time();
    std::thread::sleep(ACCEPT_PAUSE * 6);
    let spent = cpu_time() - spent;
    assert!(spent < ACCEPT_PAUSE * 2, "it spins: {spent:?}");
    drop(want);
    let (_, peer) = timeout(PATIENCE, door.accept()).await.unwrap().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
}

/// What this process has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}
