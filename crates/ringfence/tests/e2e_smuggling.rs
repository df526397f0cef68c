//! HTTP/1 that two servers cannot read differently: raw bytes from a compartment to five real servers behind us, each of
//! which tells what it read. The control sends the same bytes to the same servers without us between.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "e2e_smuggling/answers.rs"]
mod answers;
#[path = "e2e_smuggling/corpus.rs"]
mod corpus;
mod e2e_support;
#[path = "e2e_smuggling/servers.rs"]
mod servers;

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use corpus::Case;
use e2e_support::{BINARY, PYTHON, workdir};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Caller, Host, Node, NodeOptions, Output};
use serde_json::Value;
use servers::{Seen, Server, agree};

const CLIENT: &str = include_str!("e2e_smuggling/client.py");
/// What every server is told of who asks, and nothing else.
const CALLER: &str =
    "By=spiffe://ringfence.internal/service/{host};URI=spiffe://ringfence.internal/agent/agent";
/// For all cases with all servers.
const LIMIT: Duration = Duration::from_secs(300);
/// Of the cases, so many at least are read differently by two servers when nobody stands between: else this test could
/// not see a difference.
const DIFFERENT_AT_LEAST: usize = 100;

/// What the client heard: by server and case, the raw answer.
type Heard = HashMap<(String, String), Vec<u8>>;

fn start() -> Node {
    let mut estate = String::from(
        "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: { name: agent }\nspec: { purpose: sends what it should not }\n",
    );
    let mut policy = String::from(
        "apiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: { name: agent }\nspec:\n  agent: agent\n  mode: enforce\n  initiate:\n",
    );
    // Nobody runs as the vault; its name is one that the agent may ask for.
    for name in Server::ALL.map(Server::name).into_iter().chain(["vault"]) {
        writeln!(
            estate,
            "---\napiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ protocol: http, port: 8080 }}"
        )
        .unwrap();
        writeln!(
            policy,
            "    - service: {name}\n      operations:\n        - \"GET /**\"\n        - \"HEAD /**\"\n        - \"OPTIONS /**\"\n        - \"POST /**\"\n        - \"FOO /**\"\n        - {{ allow: \"PATCH /*/judged\", when: \"body.ok == true\" }}"
        )
        .unwrap();
    }
    NodeOptions::new(BINARY)
        .file("estate.yaml", &estate)
        .file("policy.yaml", &policy)
        .start()
        .unwrap()
}

/// Reads what `client.py` printed.
fn heard(output: &Output) -> Heard {
    let bytes = |hex: &str| {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    output
        .stdout
        .lines()
        .map(|line| {
            let told: Value = serde_json::from_str(line).unwrap();
            let word = |name: &str| told[name].as_str().unwrap().to_owned();
            ((word("server"), word("case")), bytes(&word("heard")))
        })
        .collect()
}

/// The statuses in what was heard, in order. No body of these servers holds what looks like a status line.
fn statuses(heard: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(heard);
    text.match_indices("HTTP/1.")
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok())
        .collect()
}

/// What was recorded, by server and case: allowed requests, refused ones, and their texts.
fn recorded(flows: &[FlowRecord]) -> HashMap<(String, String), (u64, u64, String)> {
    let mut all = HashMap::new();
    let mut present: HashMap<String, (u64, u64, String)> = HashMap::new();
    for record in flows
        .iter()
        .filter(|record| record.kind == RecordKind::Operation && record.protocol == "http")
    {
        let (allowed, refused, texts) = present.entry(record.destination.clone()).or_default();
        match record.operation.strip_prefix("GET /marker/") {
            Some("start") => {
                present.remove(&record.destination);
                continue;
            }
            Some(case) => {
                let ended = present.remove(&record.destination).unwrap();
                all.insert((record.destination.clone(), case.to_owned()), ended);
                continue;
            }
            None => {}
        }
        writeln!(
            texts,
            "      {} {:?} {}",
            record.operation, record.outcome, record.reason
        )
        .unwrap();
        match record.outcome {
            Outcome::Allow => *allowed += record.count,
            _ => *refused += record.count,
        }
    }
    all
}

/// Everything that is wrong with one case at one server.
fn faults(
    case: &Case,
    answer: &[u8],
    seen: &[Seen],
    first: &[Seen],
    records: &(u64, u64, String),
) -> Vec<String> {
    let mut faults = Vec::new();
    let expected: Vec<_> = case.expected.iter().filter_map(|p| p.status()).collect();
    let heard = statuses(answer);
    // Whether a service says `100 Continue` is its own affair.
    let finals = |list: &[u16]| {
        list.iter()
            .copied()
            .filter(|s| *s != 100)
            .collect::<Vec<_>>()
    };
    if finals(&heard) != finals(&expected) {
        faults.push(format!("answers {heard:?}, not {expected:?}"));
    }
    if answer.ends_with(b"END>") {
        faults.push("no end".into());
    }
    if seen.len() != case.passes() {
        faults.push(format!(
            "saw {} requests, not {}",
            seen.len(),
            case.passes()
        ));
    }
    if !agree(seen, first) {
        faults.push(format!("saw {seen:?},\n      another {first:?}"));
    }
    let sum = |which: fn((u64, u64)) -> u64| -> u64 {
        case.expected.iter().map(|p| which(p.records())).sum()
    };
    let (allowed, refused) = (sum(|r| r.0), sum(|r| r.1));
    if (records.0, records.1) != (allowed, refused) {
        faults.push(format!(
            "{} allowed and {} refused were recorded, not {allowed} and {refused}:\n{}",
            records.0, records.1, records.2
        ));
    }
    for request in seen {
        if request.caller != CALLER {
            faults.push(format!("told {:?} of who asks", request.caller));
        }
        if request.host != "{host}" {
            faults.push(format!("took {:?} for its name", request.host));
        }
        if request.target.contains("smuggled") {
            faults.push("saw a smuggled request".into());
        }
    }
    faults
}

#[test]
fn every_server_behind_us_reads_the_same_requests_and_as_many_as_were_recorded() {
    let node = start();
    let cases = corpus::requests();
    let serving = Server::ALL.map(|server| server.start(&node));
    let place = workdir(&node, "client", "cases.json", &corpus::to_json(&cases));
    std::fs::write(place.join("client.py"), CLIENT).unwrap();
    let mut words = vec![PYTHON, "client.py", "20", "cases.json"];
    let peers = serving.each_ref().map(|one| one.word());
    words.extend(peers.iter().map(String::as_str));
    let output = node
        .workload("agent")
        .workdir(&place)
        .limit(LIMIT)
        .run(&words)
        .unwrap()
        .ok();
    let heard = heard(&output);
    let recorded = recorded(&node.flows().unwrap());
    let seen = serving.each_ref().map(|one| one.seen());

    let mut report = String::new();
    for (index, case) in cases.iter().enumerate() {
        for (one, seen_by) in serving.iter().zip(&seen) {
            let key = (one.server.name().to_owned(), case.name.clone());
            let (name, requests) = &seen_by[index];
            assert_eq!(name, &case.name, "{}", one.server.name());
            let faults = faults(
                case,
                &heard[&key],
                requests,
                &seen[0][index].1,
                recorded.get(&key).unwrap_or(&Default::default()),
            );
            for fault in faults {
                writeln!(report, "{} at {}: {fault}", case.name, one.server.name()).unwrap();
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn without_us_the_same_bytes_are_read_differently() {
    let host = Host::new(Caller::own()).unwrap();
    let cases = corpus::requests();
    let serving: Vec<_> = Server::ALL
        .into_iter()
        .zip(8101..)
        .map(|(server, port)| server.start_bare(&host, port))
        .collect();
    for (file, text) in [
        ("cases.json", corpus::to_json(&cases).as_str()),
        ("client.py", CLIENT),
    ] {
        std::fs::write(host.path().join(file), text).unwrap();
    }
    let path = |file: &str| host.path().join(file).display().to_string();
    let mut words = vec![
        PYTHON.to_owned(),
        path("client.py"),
        "1".to_owned(),
        path("cases.json"),
    ];
    words.extend(serving.iter().map(|one| one.word()));
    host.start(words).unwrap().wait(LIMIT).unwrap().ok();

    let seen: Vec<_> = serving.iter().map(|one| one.seen()).collect();
    let differ = |index: usize| {
        let mut all = seen.iter().map(|by_case| &by_case[index].1);
        let first = all.next().unwrap();
        all.any(|other| !agree(first, other))
    };
    let (different, alike): (Vec<_>, Vec<_>) = cases
        .iter()
        .enumerate()
        .partition(|(index, _)| differ(*index));
    println!(
        "read alike: {:?}",
        alike.iter().map(|(_, case)| &case.name).collect::<Vec<_>>()
    );
    assert!(
        different.len() >= DIFFERENT_AT_LEAST,
        "only {} of {} cases: {:?}",
        different.len(),
        cases.len(),
        different
            .iter()
            .map(|(_, case)| &case.name)
            .collect::<Vec<_>>()
    );
    let smuggled = |seen: &Seen| seen.target.contains("smuggled");
    assert!(
        seen.iter().flatten().flat_map(|(_, all)| all).any(smuggled),
        "no server could be made to see a request within a request"
    );
}
