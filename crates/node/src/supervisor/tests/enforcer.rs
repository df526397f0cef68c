//! An enforcer that is late, deaf, or dies of what it is given.

use ringfence_compartment::link::FromNode;
use ringfence_model::Generation;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ground::{DEAF, ESTATE, Ground, READS, event};
use crate::containment::{What, Wish};
use crate::limits::{
    ENFORCER_BACKLOG, EVENTS_KEPT, INSTANCES_MAX, INSTANCES_PER_WORKLOAD, LAST_BREATH,
    LOADED_WITHIN, POISON_DEATHS, READY_WITHIN, STOP_WITHIN,
};
use crate::quarantine::Asker;

/// Another policy than [`ESTATE`].
fn another(ground: &mut Ground) {
    ground.reload(&ESTATE.replace("clerk", "teller"));
    assert_eq!(ground.generation(), Generation(2));
}

#[tokio::test]
async fn one_that_is_not_ready_in_time_is_killed() {
    let mut ground = Ground::new(DEAF, ESTATE);
    let before = Instant::now();
    ground.supervisor.start_enforcer();
    ground.supervisor.check_deadlines(before + READY_WITHIN);
    ground.lives().await;
    let late = Instant::now() + READY_WITHIN;
    ground.supervisor.check_deadlines(late);
    let how = ground.end().await;
    assert!(how.contains("not ready in time"), "{how}");
    // One that is ready is left alone, however long it takes for the rest.
    ground.ready();
    let late = Instant::now() + READY_WITHIN;
    ground.supervisor.check_deadlines(late);
    ground.lives().await;
}

/// Between policy and the list there is no moment in which somebody is free.
#[tokio::test]
async fn a_fresh_one_is_told_who_is_in_quarantine_before_any_policy() {
    let mut ground = Ground::serving(READS, ESTATE);
    let wish = Wish {
        name: "clerk".to_owned(),
        what: What::Quarantine { seconds: None },
        reason: "odd".to_owned(),
        dry_run: false,
    };
    let (answer, _asked) = oneshot::channel();
    ground.supervisor.contain(&wish, Asker::of(0, 0), answer);
    ground.kill().await;
    // What the one before was told is no matter.
    ground.forget();
    ground.ready();
    let place = |said: &[FromNode], of: fn(&FromNode) -> bool| said.iter().position(of);
    let load = |one: &FromNode| matches!(one, FromNode::Load { .. });
    let list = |one: &FromNode| matches!(one, FromNode::Quarantine { .. });
    let said = ground
        .told(|said| place(said, load).is_some() && place(said, list).is_some())
        .await;
    assert!(place(&said, list) < place(&said, load), "{said:?}");
}

#[tokio::test]
async fn one_that_takes_long_over_a_generation_makes_the_node_degraded() {
    let mut ground = Ground::serving(READS, ESTATE);
    let before = Instant::now();
    another(&mut ground);
    ground.supervisor.check_deadlines(before + LOADED_WITHIN);
    assert_eq!(ground.degraded(), "");
    // New claims wait for it until then, and are decided by what is in force from then on.
    let mut claimed = ground.claim("clerk", None);
    assert!(claimed.try_recv().is_err());
    let late = Instant::now() + LOADED_WITHIN;
    ground.supervisor.check_deadlines(late);
    let degraded = ground.degraded();
    assert!(
        degraded.contains("has not taken generation 2 yet"),
        "{degraded}"
    );
    assert!(claimed.try_recv().unwrap().is_ok());
    let late = |said: &[FromNode]| {
        let mut events = said.iter().filter_map(event);
        events.any(|(what, why)| what == "reload late" && why == "generation 2")
    };
    ground.told(late).await;
    ground.serve();
    assert_eq!(ground.degraded(), "");
}

#[tokio::test]
async fn a_generation_that_it_dies_of_is_dropped_and_what_was_in_force_stays() {
    let mut ground = Ground::serving(DEAF, ESTATE);
    another(&mut ground);
    for death in 1..=POISON_DEATHS {
        assert_eq!(ground.generation(), Generation(2), "after {death} deaths");
        ground.kill().await;
        // It may be dead before it was given anything: that is nobody's fault.
        ground.supervisor.start_enforcer();
        if death == 1 {
            ground.kill().await;
            assert_eq!(ground.generation(), Generation(2));
        }
        ground.ready();
    }
    assert_eq!(ground.generation(), Generation(1));
    ground.serve();
    let degraded = ground.degraded();
    let words = format!("does not take generation 2: it ended {POISON_DEATHS} times while taking");
    assert!(degraded.contains(&words), "{degraded}");
    ground.granted("clerk");
    // It may die of anything else as often as it likes.
    for _ in 0..=POISON_DEATHS {
        ground.kill().await;
        ground.serve();
    }
    assert_eq!(ground.generation(), Generation(1));
}

#[tokio::test]
async fn one_that_does_not_read_is_killed() {
    let mut ground = Ground::serving(DEAF, ESTATE);
    let event = |ground: &mut Ground, number: usize| {
        let why = format!("number {number}");
        ground.supervisor.record("test", why, None, true);
    };
    // What it was told when it began to serve is still on its way.
    for number in 0..ENFORCER_BACKLOG - 16 {
        event(&mut ground, number);
    }
    ground.lives().await;
    // The kernel has taken some of that for it.
    for number in 0..=ENFORCER_BACKLOG {
        event(&mut ground, number);
    }
    let how = ground.end().await;
    assert!(how.contains("does not read what it is told"), "{how}");
}

/// After a restart, one is told of everything at once.
#[tokio::test]
async fn one_that_reads_is_told_of_all_events_and_all_launchers_at_once() {
    let names: Vec<String> = (0..INSTANCES_MAX / INSTANCES_PER_WORKLOAD)
        .map(|number| format!("agent-{number}"))
        .collect();
    let estate: String = names
        .iter()
        .map(|name| format!("---\n{}", ESTATE.replace("clerk", name)))
        .collect();
    let mut ground = Ground::serving(READS, &estate);
    for name in &names {
        for _ in 0..INSTANCES_PER_WORKLOAD {
            ground.granted(name);
            tokio::task::yield_now().await;
        }
    }
    let refused = ground.claim(&names[0], None).try_recv().unwrap();
    assert!(refused.is_err_and(|refusal| refusal.reason.contains("run already")));
    ground.kill().await;
    let number = EVENTS_KEPT + 8;
    for number in 0..number {
        let why = number.to_string();
        ground.supervisor.record("test", why, None, true);
    }
    assert_eq!(ground.kept().len(), EVENTS_KEPT);
    ground.serve();
    let adopted = |said: &[FromNode]| {
        let adopts = said
            .iter()
            .filter(|it| matches!(it, FromNode::Adopt { .. }));
        adopts.count()
    };
    // What the one before was told stands there until this one begins.
    let tests = |said: &[FromNode]| {
        said.iter()
            .filter_map(event)
            .any(|(what, _)| what == "test")
    };
    let said = ground
        .told(|said| adopted(said) >= INSTANCES_MAX && tests(said))
        .await;
    assert_eq!(adopted(&said), INSTANCES_MAX);
    let events = said.iter().filter_map(event);
    let events: Vec<_> = events.filter(|(what, _)| what == "test").collect();
    // All that were kept, the last one last.
    assert_eq!(events.last().unwrap().1, (number - 1).to_string());
    assert!(events.len() >= EVENTS_KEPT - 8, "{}", events.len());
    ground.lives().await;
    let degraded = ground.degraded();
    assert_eq!(degraded, "");
}

#[tokio::test]
async fn the_latest_events_are_kept_and_the_others_are_counted() {
    let mut ground = Ground::new(READS, ESTATE);
    for number in 0..EVENTS_KEPT + 5 {
        ground
            .supervisor
            .record("test", number.to_string(), None, true);
    }
    ground.read();
    ground.serve();
    let lost = |said: &[FromNode]| {
        let mut events = said.iter().filter_map(event);
        events.any(|(what, _)| what == "events lost")
    };
    let said = ground.told(lost).await;
    let events: Vec<_> = said.iter().filter_map(event).collect();
    assert_eq!(events[0], ("test".to_owned(), "5".to_owned()));
    let last = (EVENTS_KEPT + 4).to_string();
    assert_eq!(events[EVENTS_KEPT - 1], ("test".to_owned(), last));
    let words = "5 events while no enforcer could record them";
    assert_eq!(
        events[EVENTS_KEPT],
        ("events lost".to_owned(), words.to_owned())
    );
}

#[tokio::test]
async fn one_that_does_not_stop_is_killed() {
    let mut ground = Ground::serving(DEAF, ESTATE);
    let pid = ground.supervisor.child.pid().unwrap();
    let lives = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok();
    let began = Instant::now();
    assert!(lives());
    ground
        .supervisor
        .stop("in a test", &mut ground.inputs)
        .await;
    let took = began.elapsed();
    assert!(
        took >= STOP_WITHIN && took < 2 * STOP_WITHIN,
        "{took:?} until it was dead"
    );
    assert!(!lives());
    // One that stops by itself is not waited for longer than it takes.
    let mut ground = Ground::serving("exec sleep 1", ESTATE);
    let began = Instant::now();
    ground
        .supervisor
        .stop("in a test", &mut ground.inputs)
        .await;
    assert!(began.elapsed() < STOP_WITHIN);
}

#[tokio::test]
async fn one_that_closes_its_channel_and_lives_on_is_killed() {
    let mut ground = Ground::new("exec 3>&-; exec sleep 1000", ESTATE);
    let began = Instant::now();
    ground.supervisor.start_enforcer();
    let how = ground.end().await;
    assert!(how.starts_with("it closed its channel"), "{how}");
    assert!(how.contains("signal: 9"), "{how}");
    assert!(began.elapsed() >= LAST_BREATH);
    // One that ends a moment later tells how.
    let mut ground = Ground::new("exec 3>&-; exit 7", ESTATE);
    ground.supervisor.start_enforcer();
    let how = ground.end().await;
    assert_eq!(how, "exit status: 7");
}
