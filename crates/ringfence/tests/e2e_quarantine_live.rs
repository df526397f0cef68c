//! A quarantine cuts everything that lives, of every protocol, in both directions and in every mode; and nothing of anybody
//! else's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use e2e_support::agent;
use e2e_support::living::{
    CONNECTIONS, EVERYTHING, FLOWS, SERVICES, SETTLED, Scene, all, begin, goes_on, is_over, opens,
    report, resolves, soft,
};
use ringfence_model::{Outcome, RecordKind};
use serde_json::json;

/// Of a policy in `mode`, which names a part of what its agent does where it is not enforced.
fn everything_is_cut(mode: &str) {
    let enforced = mode.starts_with("mode: enforce");
    let initiate = match enforced {
        true => EVERYTHING,
        false => "\n    - { service: page, operations: [\"GET /pulse\"] }\n",
    };
    let mut scene = Scene::new(
        &agent("agent", mode, initiate),
        &agent("other", mode, initiate),
    );
    let (kinds, services) = (all(), SERVICES.map(|(name, _)| name));
    begin(&mut scene.agent, &kinds);
    begin(&mut scene.other, &kinds);
    let would = |r: &ringfence_model::FlowRecord| r.outcome == Outcome::WouldDeny;
    assert_eq!(
        scene.node.flows_where(0, would).unwrap().is_empty(),
        enforced
    );

    // As an initiator.
    let done = scene.quarantine("agent");
    assert_eq!(
        (&done["cut"]["connections"], &done["cut"]["flows"]),
        (&json!(CONNECTIONS), &json!(FLOWS)),
        "{done}"
    );
    assert_eq!(done["left"], 0, "{done}");
    std::thread::sleep(SETTLED);
    let (agents, others) = (report(&mut scene.agent), report(&mut scene.other));
    let heard = scene.heard();
    std::thread::sleep(SETTLED);
    is_over(&mut scene.agent, &agents, &kinds);
    goes_on(&mut scene.other, &others, &kinds);
    let later = scene.heard();
    assert_eq!(heard[0], later[0], "they hear what is in quarantine");
    for name in services {
        // Who streams an answer hears nothing more; the request beside it goes on.
        assert!(later[1][name] > heard[1][name], "{name} {later:?}");
    }
    assert!(!opens(&mut scene.agent, &kinds));
    assert!(opens(&mut scene.other, &kinds));
    assert_eq!(scene.heard()[0], heard[0]);
    assert!(!resolves(&mut scene.agent, &services));
    assert!(!resolves(&mut scene.agent, &["agent"]));
    assert!(resolves(&mut scene.other, &services));
    let cut = scene.node.flows_where(0, |r| {
        r.kind == RecordKind::Close && r.reason.contains("is quarantined since")
    });
    let cut = cut.unwrap();
    assert_eq!(cut.len() as u64, CONNECTIONS + FLOWS, "{cut:?}");
    assert!(
        cut.iter()
            .all(|r| r.source == "agent" && r.outcome == Outcome::Deny),
        "{cut:?}"
    );
    scene.release("agent");
    assert!(resolves(&mut scene.agent, &services));
    begin(&mut scene.agent, &kinds);

    // As a receiver, one after another: the others' connections go on.
    let mut left = kinds;
    for (service, cut) in SERVICES {
        scene.quarantine(service);
        left.retain(|kind| !cut.contains(kind));
        std::thread::sleep(SETTLED);
        let heard = scene.heard();
        for puppet in [&mut scene.agent, &mut scene.other] {
            let before = report(puppet);
            assert!(!opens(puppet, cut), "{service}");
            is_over(puppet, &before, cut);
            goes_on(puppet, &before, &left);
            assert!(!resolves(puppet, &[service]));
        }
        let later = scene.heard();
        for of in 0..2 {
            assert_eq!(heard[of][service], later[of][service], "{service} hears");
        }
    }
    for (service, cut) in SERVICES {
        scene.release(service);
        assert!(resolves(&mut scene.other, &[service]));
        assert!(opens(&mut scene.other, cut), "{service}");
    }
}

#[test]
fn everything_that_lives_is_cut_and_nothing_of_a_neighbours() {
    everything_is_cut("mode: enforce");
}

#[test]
fn what_is_learned_is_cut_like_what_is_enforced() {
    everything_is_cut(&soft("learn"));
}

#[test]
fn what_is_tried_is_cut_like_what_is_enforced() {
    everything_is_cut(&soft("shadow"));
}

/// While the enforcer, and then the node, is killed again and again, what is in quarantine never gets through, by any
/// protocol, however often it tries; its neighbour does, as soon as it is served.
#[test]
fn no_byte_passes_while_who_keeps_it_out_is_killed() {
    let policy = |name| agent(name, "mode: enforce", EVERYTHING);
    let mut scene = Scene::new(&policy("agent"), &policy("other"));
    let kinds = all();
    for puppet in [&mut scene.agent, &mut scene.other] {
        begin(puppet, &kinds);
    }
    scene.quarantine("agent");
    std::thread::sleep(SETTLED);
    let heard = scene.heard();
    for puppet in [&mut scene.agent, &mut scene.other] {
        // Two of each kind but the idle one, which is a `tcp` once more.
        puppet.tell(json!(["storm", 2 * kinds.len(), kinds]));
    }
    let reached = |scene: &mut Scene| scene.other.tell(json!(["stormed"]))["reached"].clone();
    for round in 0..4 {
        let before = reached(&mut scene).as_u64().unwrap();
        if round < 3 {
            let enforcer = scene.node.kill_enforcer().unwrap();
            scene.node.await_enforcer_after(enforcer).unwrap();
        } else {
            scene.node.kill().unwrap();
            scene.node.up().unwrap();
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while reached(&mut scene).as_u64().unwrap() < before + 50 {
            assert!(std::time::Instant::now() < deadline, "nobody is served");
            std::thread::sleep(SETTLED);
        }
    }
    let told = scene.agent.tell(json!(["stormed"]));
    assert!(told["tries"].as_u64().unwrap() > 50, "{told}");
    assert_eq!(told["reached"], 0, "{told}");
    let later = scene.heard();
    assert_eq!(later[0], heard[0]);
    assert!(later[1]["cache"] > heard[1]["cache"], "{later:?}");
}

/// A storm of new connections is cut off in the middle: from the answer on nothing of it arrives.
#[test]
fn a_storm_of_new_connections_ends_with_the_answer() {
    let policy = |name| agent(name, "mode: enforce", EVERYTHING);
    let mut scene = Scene::new(&policy("agent"), &policy("other"));
    let kinds = all();
    begin(&mut scene.other, &kinds);
    begin(&mut scene.agent, &kinds);
    scene.agent.tell(json!([
        "storm",
        24,
        ["tcp", "udp", "http", "tls", "h2", "websocket"]
    ]));
    for _ in 0..5 {
        std::thread::sleep(SETTLED);
        let before = report(&mut scene.other);
        let done = scene.quarantine("agent");
        assert_eq!(done["left"], 0, "{done}");
        std::thread::sleep(SETTLED);
        let reached = scene.agent.tell(json!(["stormed"]));
        let heard = scene.heard();
        std::thread::sleep(SETTLED);
        let later = scene.agent.tell(json!(["stormed"]));
        assert_eq!(reached["reached"], later["reached"], "{later}");
        assert!(
            later["tries"].as_u64() > reached["tries"].as_u64(),
            "{later}"
        );
        assert_eq!(scene.heard()[0], heard[0]);
        goes_on(&mut scene.other, &before, &kinds);
        scene.release("agent");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while scene.agent.tell(json!(["stormed"]))["reached"].as_u64() <= later["reached"].as_u64()
        {
            assert!(std::time::Instant::now() < deadline, "it is not free again");
            std::thread::sleep(SETTLED);
        }
    }
}
