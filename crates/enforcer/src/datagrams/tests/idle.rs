//! How long a flow lives, with the waits that hold outside tests, at their edges.

use super::super::limits::{FRESH_IDLE, QUEUED_EACH, REFUSAL_WAIT, SETTLED_AFTER, SETTLED_IDLE};
use super::*;
use crate::testing::{Stopped, until};

const A_MOMENT: Duration = Duration::from_millis(1);

/// Nothing is said for `bound`: the flow ends then, not before, and says for how long nothing was.
async fn ends_after(client: &Client, time: &Stopped, bound: Duration) {
    time.pass(bound - A_MOMENT).await;
    assert_eq!(client.home.flows.count(), 1, "it ended before {bound:?}");
    time.pass(A_MOMENT * 2).await;
    until("the flow ends", || client.home.flows.count() == 0).await;
    let said = format!("idle for {bound:?}");
    until("its close", || {
        let flows = client.world.flows();
        flows.last().is_some_and(|flow| flow.reason == said)
    })
    .await;
}

/// `FRESH_IDLE`, `SETTLED_AFTER`, `SETTLED_IDLE`.
#[tokio::test]
async fn a_flow_lives_for_so_long_without_a_datagram_and_longer_once_it_is_a_conversation() {
    let (port, _callers) = echo_on("127.0.0.1:0").await;
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let _service = client.world.running("echo");
    let to = client.world.at(2, port);
    let time = Stopped::now();
    for (used_again_after, idle) in [
        (SETTLED_AFTER - A_MOMENT, FRESH_IDLE),
        (SETTLED_AFTER, SETTLED_IDLE),
    ] {
        client.send(to, b"question");
        client.hear().await;
        time.pass(used_again_after).await;
        client.send(to, b"and another");
        client.hear().await;
        ends_after(&client, &time, idle).await;
    }
}

/// `REFUSAL_WAIT`, and `QUEUED_EACH`: a datagram is kept for so long, and counts for more than it has.
#[tokio::test]
async fn a_datagram_is_kept_for_so_long_in_case_that_nobody_listened() {
    let service = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = service.local_addr().unwrap().port();
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let _service = client.world.running("echo");
    let time = Stopped::now();
    client.send(client.world.at(2, port), b"nobody answers this");
    service.recv_from(&mut [0; 99]).await.unwrap();
    time.pass(Duration::ZERO).await;
    let all = vec![0; QUEUED_BYTES - QUEUED_EACH];
    let but_for_it = vec![0; all.len() - QUEUED_EACH - b"nobody answers this".len()];
    let flows = &client.home.flows;
    let is_kept = || flows.keep(&but_for_it[1..]).is_some() && flows.keep(&all).is_none();
    assert!(is_kept());
    time.pass(REFUSAL_WAIT - A_MOMENT).await;
    assert!(is_kept(), "let go before {REFUSAL_WAIT:?}");
    time.pass(A_MOMENT * 2).await;
    until("its room is given back", || flows.keep(&all).is_some()).await;
}

/// `QUEUED_BYTES`, `QUEUED_EACH`, of datagrams without a byte.
#[tokio::test]
async fn so_many_datagrams_wait_however_short_they_are() {
    let flows = Flows::default();
    let mut kept = Vec::new();
    while let Some(one) = flows.keep(b"") {
        kept.push(one);
    }
    assert_eq!(kept.len(), QUEUED_BYTES / QUEUED_EACH);
    kept.pop();
    assert!(flows.keep(b"x").is_none() && flows.keep(b"").is_some());
}
