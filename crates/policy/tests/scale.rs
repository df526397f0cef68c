//! Large estates are compared and walked in seconds. `RINGFENCE_SCALE=10000 cargo test --release -p ringfence-policy --test scale -- --nocapture`
//! prints figures of a larger one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::{now, try_compile};
use ringfence_model::path::Allowances;
use ringfence_model::resource::{
    Agent, Entry, Filesystem, Labels, Mode, ModeKind, OperationPattern, Policy, Serves,
};
use ringfence_model::{Estate, Kind, Limits, Name, Position, Protocol, WorkloadId};
use ringfence_policy::{Diff, Effect, Web};

/// Peers of each agent, and operations with each.
const PEERS: usize = 10;
const OPERATIONS: usize = 10;
/// How many agents, unless `RINGFENCE_SCALE` says so.
const AGENTS: usize = 400;

fn id(index: usize) -> WorkloadId {
    WorkloadId {
        kind: Kind::Agent,
        name: Name::new(&format!("agent-{index:05}")).unwrap(),
    }
}

/// Each calls ten that lie behind it in a ring, at growing distances.
fn peers(index: usize, agents: usize) -> impl Iterator<Item = usize> {
    (0..PEERS).map(move |peer| (index + 1 + peer * peer * 7) % agents)
}

fn operations(caller: usize) -> Vec<OperationPattern> {
    let at = Position {
        file: "a.yaml".into(),
        line: 1,
        column: 1,
    };
    (0..OPERATIONS)
        .map(|it| {
            OperationPattern::plain(format!("GET /v1/kind-{it}/{}/*", caller % 50), at.clone())
        })
        .collect()
}

fn estate(agents: usize, learns: bool) -> Estate {
    let at = Position {
        file: "a.yaml".into(),
        line: 1,
        column: 1,
    };
    let entry = |peer: usize, caller: usize| Entry {
        peer: id(peer),
        operations: operations(caller),
        at: at.clone(),
    };
    let mut receive: Vec<Vec<Entry>> = vec![Vec::new(); agents];
    for caller in 0..agents {
        for peer in peers(caller, agents) {
            receive[peer].push(entry(caller, caller));
        }
    }
    let mut estate = Estate::default();
    for (index, receive) in receive.into_iter().enumerate() {
        estate.agents.push(Agent {
            name: id(index).name,
            labels: Labels::new(),
            purpose: None,
            owner: None,
            serves: Some(Serves {
                protocol: Protocol::Http,
                port: 80,
                path_allowances: Allowances::default(),
                record: Default::default(),
            }),
            hosts: vec![],
            attest: None,
            limits: Limits::default(),
            at: at.clone(),
        });
        let soft = learns && index == 0;
        estate.policies.push(Policy {
            name: id(index).name,
            subject: id(index),
            owner: None,
            review_by: None,
            mode: Mode {
                kind: if soft {
                    ModeKind::Learn
                } else {
                    ModeKind::Enforce
                },
                until: soft.then(|| "2026-06-10".parse().unwrap()),
                at: at.clone(),
            },
            initiate: peers(index, agents)
                .map(|peer| entry(peer, index))
                .collect(),
            receive: Some(receive),
            tests: vec![],
            filesystem: Filesystem::default(),
            at: at.clone(),
        });
    }
    estate
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let out = run();
    let took = began.elapsed();
    println!("{what}: {took:.2?}");
    (out, took)
}

#[test]
fn large_estates_are_compared_and_walked_in_seconds() {
    let agents = std::env::var("RINGFENCE_SCALE").map_or(AGENTS, |it| it.parse().unwrap());
    let old = estate(agents, false);
    // One rule of every hundredth agent is wider, on both ends.
    let mut new = estate(agents, true);
    let widened = (0..agents).step_by(100).count();
    for index in (0..agents).step_by(100) {
        let peer = peers(index, agents).next().unwrap();
        let wide = |entries: &mut Vec<Entry>, peer: usize| {
            let entry = entries.iter_mut().find(|it| it.peer == id(peer)).unwrap();
            entry.operations[0].text = "GET /v1/**".to_owned();
        };
        wide(&mut new.policies[index].initiate, peer);
        wide(new.policies[peer].receive.as_mut().unwrap(), index);
    }
    let (old, compiled) = timed("compile", || try_compile(&old).unwrap());
    let new = try_compile(&new).unwrap();
    let (changes, took) = timed("diff", || {
        let diff = Diff::new(&old, &new, now());
        println!("{} agents, {} pairs", agents, diff.pairs());
        diff.changes().flatten().collect::<Vec<_>>()
    });
    let opened = |mode: bool| {
        let opened = changes.iter().filter(|it| it.effect == Effect::Opened);
        opened
            .filter(|it| it.depends.mode.is_some() == mode)
            .count()
    };
    assert_eq!(opened(false), widened);
    // The receivers of others enforce, so learning opens nothing but among those that name it.
    assert!(changes.iter().all(|it| it.certain));
    assert!(took < Duration::from_secs(60) + compiled * 20, "{took:?}");
    let (all, took) = timed("reach of all", || {
        let mut web = Web::new(&new, now());
        new.workloads()
            .filter_map(|ix| web.radius(ix, None))
            .count()
    });
    assert_eq!(all, agents);
    assert!(took < Duration::from_secs(120) + compiled * 200, "{took:?}");
    let (reached, _) = timed("reach of one", || {
        let mut web = Web::new(&new, now());
        let from = new.workloads().next().unwrap();
        web.spread(from, Some(3)).len()
    });
    assert!(reached > PEERS);
}
