//! Hundreds of generations under load: nothing opens that none of them allows, and nothing is dropped that all of them
//! allow.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ringfence_model::flow::{Kind, Outcome};

use super::scene::{SOON, Stage};
use super::*;

const GENERATIONS: u64 = 300;
const CLIENTS: usize = 12;

/// Both allow `/always`, neither `/never`; each has a path of its own.
fn policy(generation: u64) -> String {
    let own = generation % 2;
    format!(
        "  initiate:\n    - {{ service: web, operations: [\"GET /always\", \"GET /own/{own}\"] }}\n    - {{ service: echo, operations: [connect] }}\n"
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: web\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_reloads_under_load_open_nothing_and_drop_nothing() {
    let mut stage = Stage::new(&policy(1), "").await;
    let over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let mut opaque = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = stage.echo().await;
        client.until("!").await;
        opaque.push(client);
    }
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = stage.web().await;
        let (over, served) = (Arc::clone(&over), Arc::clone(&served));
        clients.spawn(async move {
            let mut round = 0;
            while !over.load(Ordering::Relaxed) {
                round += 1;
                let answer = client.ask(&get("/always")).await;
                assert!(
                    answer.starts_with("HTTP/1.1 200"),
                    "round {round}: {answer}"
                );
                served.fetch_add(1, Ordering::Relaxed);
                let answer = client.ask(&get("/never")).await;
                assert!(
                    answer.starts_with("HTTP/1.1 403"),
                    "round {round}: {answer}"
                );
            }
            client
        });
    }
    for generation in 2..GENERATIONS {
        stage.load(&policy(generation), "");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut kept = Vec::new();
    while let Some(client) = tokio::time::timeout(SOON, clients.join_next())
        .await
        .unwrap()
    {
        kept.push(client.unwrap());
    }
    // Counted at both ends, and in the log.
    let reached = stage.reached.lock().unwrap().clone();
    let arrived = |path: &str| {
        let line = format!("GET {path} ");
        reached
            .iter()
            .filter(|(head, _)| head.starts_with(&line))
            .count()
    };
    let served = served.load(Ordering::Relaxed);
    assert!(served >= CLIENTS * 20, "{served}");
    assert_eq!(arrived("/always"), served);
    assert_eq!(arrived("/never"), 0);
    let allowed = stage.operations();
    let allowed = allowed
        .iter()
        .filter(|flow| flow.outcome() == Outcome::Allow);
    assert_eq!(allowed.count(), served);
    assert_eq!(stage.closes().len(), 0, "none was dropped");
    // One generation that allows none of it ends them all.
    stage.load("  initiate: []\n", "");
    for client in kept.into_iter().chain(opaque) {
        client.ends_in_a_reset(SOON).await;
    }
    let closes = stage.closes();
    assert_eq!(closes.len(), 2 * CLIENTS);
    assert!(closes.iter().all(|flow| flow.kind() == Kind::Close
        && flow.outcome() == Outcome::Deny
        && flow.reason.starts_with("revoked by generation")));
}
