//! Estates from text, and questions in one line.
#![allow(dead_code, unreachable_pub)]

use jiff::Timestamp;
use ringfence_model::operation::Concrete;
use ringfence_model::{Diagnostics, Estate, Generation, HostName, load};
use ringfence_policy::{Moment, Operation, Reason, Seen, Snapshot, Verdict, provisional_addresses};

/// Documents are separated by lines of `---`; the apiVersion is added.
pub fn estate(text: &str) -> Estate {
    let full: Vec<String> = text
        .split("---\n")
        .map(|document| format!("apiVersion: {}\n{document}", load::API_VERSION))
        .collect();
    load::documents(&[("a.yaml", full.join("---\n").as_bytes())])
        .unwrap_or_else(|errors| panic!("{errors}"))
}

pub fn try_compile(estate: &Estate) -> Result<Snapshot, Diagnostics> {
    let zone = HostName::new("ringfence.internal").unwrap();
    Snapshot::compile(Generation(7), &zone, estate, &provisional_addresses(estate))
}

pub fn compile(text: &str) -> Snapshot {
    try_compile(&estate(text)).unwrap_or_else(|errors| panic!("{errors}"))
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn now() -> Timestamp {
    at("2026-06-01T00:00:00Z")
}

/// Nothing is known of requests.
pub fn moment(now: Timestamp) -> Moment<'static> {
    Moment::at(now, Seen::Nothing)
}

pub fn verdict_at(snapshot: &Snapshot, from: &str, to: &str, op: &str, now: Timestamp) -> Verdict {
    let (from, to) = (snapshot.find(from).unwrap(), snapshot.find(to).unwrap());
    let callee = snapshot.workload(to);
    let protocol = callee.serves.expect("serves").0;
    let operation = Concrete::parse(op, protocol, callee.path_allowances).unwrap();
    snapshot.decide(from, to, Operation::from(&operation), &moment(now))
}

pub fn why(snapshot: &Snapshot, from: &str, to: &str, op: &str) -> Reason {
    verdict_at(snapshot, from, to, op, now()).reason()
}

pub fn allows(snapshot: &Snapshot, from: &str, to: &str, op: &str) -> bool {
    verdict_at(snapshot, from, to, op, now()).is_allowed()
}

pub fn meet(snapshot: &Snapshot, from: &str, to: &str) -> Reason {
    let (from, to) = (snapshot.find(from).unwrap(), snapshot.find(to).unwrap());
    snapshot.may_meet(from, to, now()).reason()
}

/// Every request of three methods, and every WebSocket, to a path of up to three of three segments, with and without a slash at the end.
pub fn universe() -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut all = vec!["/".to_owned()];
    for _ in 0..3 {
        paths = paths
            .iter()
            .flat_map(|path| ["a", "b", "c"].map(|segment| format!("{path}/{segment}")))
            .collect();
        all.extend(
            paths
                .iter()
                .flat_map(|path| [path.clone(), format!("{path}/")]),
        );
    }
    ["GET", "PUT", "HEAD", "WEBSOCKET"]
        .iter()
        .flat_map(|method| all.iter().map(move |path| format!("{method} {path}")))
        .collect()
}
