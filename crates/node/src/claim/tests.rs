use ringfence_model::resource::{Agent, Endpoint, EndpointHost, Policy, Service};
use ringfence_model::{Kind, Position, Protocol};

use super::*;

const OWNER: u32 = 1000;
const STRANGER: u32 = 2000;

fn agent(name: &str, uid: Option<u32>) -> Agent {
    Agent {
        name: Name::new(name).unwrap(),
        labels: Default::default(),
        purpose: None,
        owner: None,
        serves: None,
        hosts: Vec::new(),
        attest: uid.map(|uid| Attest { uid }),
        at: Position::default(),
    }
}

fn service(name: &str, endpoint: bool) -> Service {
    let at = Position::default();
    let real = Endpoint {
        host: EndpointHost::Ip([10, 0, 0, 1].into()),
        port: 443,
        tls: None,
        at,
    };
    Service {
        name: Name::new(name).unwrap(),
        labels: Default::default(),
        protocol: Protocol::Http,
        port: 80,
        hosts: Vec::new(),
        owner: None,
        path_allowances: Default::default(),
        endpoints: if endpoint { vec![real] } else { Vec::new() },
        mutual_auth: None,
        receive: None,
        attest: None,
        at: Position::default(),
    }
}

fn zone() -> (Estate, BTreeMap<Name, VirtualAddr>) {
    let subject = WorkloadId {
        kind: Kind::Agent,
        name: Name::new("customer-service").unwrap(),
    };
    let estate = Estate {
        services: vec![service("model-api", true), service("payments", false)],
        agents: vec![
            agent("customer-service", None),
            agent("clerk", Some(STRANGER)),
        ],
        policies: vec![Policy {
            name: subject.name.clone(),
            subject,
            owner: None,
            review_by: None,
            mode: Default::default(),
            initiate: Vec::new(),
            receive: None,
            tests: Vec::new(),
            filesystem: Filesystem {
                read: vec!["/srv/data".into()],
                ..Filesystem::default()
            },
            at: Position::default(),
        }],
        ..Estate::default()
    };
    let mut addresses = crate::addresses::Addresses::default();
    addresses.allocate(&estate).unwrap();
    let book = addresses.of(&estate);
    (estate, book)
}

fn claim(owner: u32, uid: u32, name: &str) -> Result<Claimed, Refusal> {
    let (estate, addresses) = zone();
    check(&estate, &addresses, Owner(owner), uid, name)
}

#[test]
fn a_resource_without_attest_is_for_owner_and_root_only() {
    for uid in [OWNER, 0] {
        let claimed = claim(OWNER, uid, "customer-service").unwrap();
        assert_eq!(claimed.workload.kind, Kind::Agent);
        assert_eq!(
            claimed.filesystem.read,
            [std::path::PathBuf::from("/srv/data")]
        );
    }
    assert_eq!(
        claim(OWNER, OWNER, "payments").unwrap().workload.kind,
        Kind::Service
    );
    claim(OWNER, STRANGER, "customer-service").unwrap_err();
    claim(0, STRANGER, "payments").unwrap_err();
}

#[test]
fn attest_uid_is_who_calls_run_and_nobody_else() {
    claim(0, STRANGER, "clerk").unwrap();
    for (owner, uid) in [(0, 0), (OWNER, OWNER), (OWNER, 0), (0, STRANGER + 1)] {
        claim(owner, uid, "clerk").unwrap_err();
    }
    assert!(claim(0, 0, "clerk").unwrap_err().hint.contains("#2000"));
    assert!(
        claim(OWNER, OWNER, "clerk")
            .unwrap_err()
            .hint
            .contains("root")
    );
}

#[test]
fn a_stranger_learns_nothing_from_a_refusal() {
    let plain = |name: &str| claim(0, STRANGER + 1, name).unwrap_err();
    for name in [
        "customer-service",
        "clerk",
        "payments",
        "model-api",
        "nobody",
        "custmer-service",
    ] {
        let refusal = plain(name);
        assert_eq!(
            refusal.reason.replace(name, "X"),
            plain("nobody").reason.replace("nobody", "X")
        );
        assert_eq!(refusal.hint, plain("nobody").hint);
    }
}

#[test]
fn the_owner_is_told_the_nearest_name() {
    assert_eq!(
        claim(OWNER, OWNER, "custmer-service").unwrap_err().hint,
        "did you mean `customer-service`?"
    );
    assert_eq!(
        claim(OWNER, 0, "payment").unwrap_err().hint,
        "did you mean `payments`?"
    );
    assert!(
        claim(OWNER, OWNER, "zzzzzz")
            .unwrap_err()
            .hint
            .contains("declare it")
    );
    claim(OWNER, OWNER, "").unwrap_err();
    claim(OWNER, OWNER, &"x".repeat(60_000)).unwrap_err();
}

#[test]
fn a_service_outside_compartments_cannot_be_run() {
    assert!(
        claim(OWNER, OWNER, "model-api")
            .unwrap_err()
            .reason
            .contains("endpoints")
    );
}

#[test]
fn another_version_of_the_link_is_refused_with_the_older_side_named() {
    check_version(LINK_VERSION).unwrap();
    assert!(
        check_version(LINK_VERSION - 1)
            .unwrap_err()
            .hint
            .contains("ringfence run")
    );
    assert!(
        check_version(LINK_VERSION + 1)
            .unwrap_err()
            .hint
            .contains("ringfence up")
    );
}
