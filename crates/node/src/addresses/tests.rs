use proptest::prelude::*;
use ringfence_model::resource::{Endpoint, Service};
use ringfence_model::{Position, Protocol};

use super::*;

fn service(name: &str, endpoint: Option<IpAddr>) -> Service {
    Service {
        name: Name::new(name).unwrap(),
        labels: Default::default(),
        protocol: Protocol::Tcp,
        port: 80,
        hosts: Vec::new(),
        owner: None,
        path_allowances: Default::default(),
        record: Default::default(),
        endpoints: endpoint
            .map(|ip| Endpoint {
                host: EndpointHost::Ip(ip),
                port: 443,
                tls: None,
                at: Position::default(),
            })
            .into_iter()
            .collect(),
        mutual_auth: None,
        receive: None,
        attest: None,
        limits: ringfence_model::Limits::default(),
        at: Position::default(),
    }
}

fn estate(names: &[String]) -> Estate {
    Estate {
        services: names.iter().map(|name| service(name, None)).collect(),
        ..Estate::default()
    }
}

proptest! {
    /// Whatever comes, goes, comes back and in whatever order, with restarts in between: a name keeps its pair, and
    /// no two names ever had the same one.
    #[test]
    fn a_name_keeps_its_pair(rounds in prop::collection::vec(prop::collection::vec("[a-f]{1,2}", 0..12), 1..8)) {
        let dir = tempfile::tempdir().unwrap();
        let mut ever: BTreeMap<Name, VirtualAddr> = BTreeMap::new();
        for mut names in rounds {
            names.sort();
            names.dedup();
            names.reverse();
            let mut addresses = Addresses::load(dir.path()).unwrap();
            let estate = estate(&names);
            addresses.allocate(&estate).unwrap();
            addresses.store(dir.path()).unwrap();
            let given = addresses.of(&estate);
            prop_assert_eq!(given.len(), names.len());
            for (name, pair) in given {
                prop_assert_eq!(*ever.entry(name).or_insert(pair), pair);
            }
        }
        let distinct: BTreeSet<_> = ever.values().map(|pair| (pair.v4, pair.v6)).collect();
        prop_assert_eq!(distinct.len(), ever.len());
        for pair in ever.values() {
            let octets = pair.v4.octets();
            prop_assert!(octets[0] == 100 && octets[1] & 0xc0 == 64 && octets[3] != 0 && octets[3] != 255);
            prop_assert!(pair.v6.segments()[..2] == [0xfd52, 0x6600]);
        }
    }
}

#[test]
fn an_endpoint_literal_is_never_given_to_a_workload() {
    let estate = Estate {
        services: vec![
            service("a", Some("100.64.0.1".parse().unwrap())),
            service("b", Some("fd52:6600::2".parse().unwrap())),
        ],
        ..Estate::default()
    };
    let mut addresses = Addresses::default();
    addresses.allocate(&estate).unwrap();
    let given: Vec<_> = addresses
        .of(&estate)
        .values()
        .map(|pair| pair.v4.to_string())
        .collect();
    assert_eq!(given, ["100.64.0.3", "100.64.0.4"]);
}

#[test]
fn an_endpoint_literal_that_was_given_before_is_an_error_there() {
    let mut addresses = Addresses::default();
    addresses.allocate(&estate(&["a".to_owned()])).unwrap();
    let clash = Estate {
        services: vec![service("b", Some("100.64.0.1".parse().unwrap()))],
        ..Estate::default()
    };
    let errors = addresses.allocate(&clash).unwrap_err();
    assert!(
        errors.0[0].at.is_some() && errors.0[0].message.contains("100.64.0.1"),
        "{errors}"
    );
}

#[test]
fn a_file_with_one_pair_given_twice_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let mut addresses = Addresses::default();
    addresses.allocate(&estate(&["a".to_owned()])).unwrap();
    let stolen = addresses.addresses[&Name::new("a").unwrap()];
    addresses.addresses.insert(Name::new("b").unwrap(), stolen);
    addresses.store(dir.path()).unwrap();
    assert!(matches!(
        Addresses::load(dir.path()),
        Err(NodeError::Damaged { .. })
    ));
}
