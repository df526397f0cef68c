use ringfence_model::{Generation, HostName, load};

use super::*;
use crate::provisional_addresses;

const ESTATE: &str = "apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: {name: a}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {name: s}
spec: {protocol: http, port: 80}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {name: t}
spec: {protocol: http, port: 80, receive: []}
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: {name: a}
spec: {agent: a, initiate: [{service: s, operations: [GET /]}, {service: t, operations: [GET /]}]}
";

/// The search of the last pair of the bound says that `t` takes nobody; beyond the bound it is not asked.
#[test]
fn the_last_pair_of_the_bound_is_searched_and_the_next_counts_as_reached() {
    let estate = load::documents(&[("a.yaml", ESTATE.as_bytes())]).unwrap();
    let zone = HostName::new("ringfence.internal").unwrap();
    let addresses = provisional_addresses(&estate);
    let snapshot = Snapshot::compile(Generation(1), &zone, &estate, &addresses).unwrap();
    let from = snapshot.find("a").unwrap();
    for (searched, told) in [
        (EDGES_MAX - 2, vec![("s", Some("GET /"), true)]),
        (
            EDGES_MAX - 1,
            vec![("s", Some("GET /"), true), ("t", None, false)],
        ),
        (EDGES_MAX, vec![("s", None, false), ("t", None, false)]),
    ] {
        let mut web = Web::new(&snapshot, Timestamp::UNIX_EPOCH);
        web.searched = searched;
        let edges = web.edges_of(from);
        let found: Vec<_> = edges
            .iter()
            .map(|it| (it.to.name.as_str(), it.example.as_deref(), it.certain))
            .collect();
        assert_eq!(found, told);
        assert!(edges.iter().all(|it| it.is_plain() == it.certain));
    }
}
