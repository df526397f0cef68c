use ringfence_model::resource::{Agent, Endpoint, EndpointHost, Policy, Service};
use ringfence_model::{Kind, Position, Protocol};

use super::*;

const OWNER: u32 = 1000;
const STRANGER: u32 = 2000;

fn agent(name: &str, uid: Option<u32>) -> Agent {
    Agent {
        limits: ringfence_model::Limits::default(),
        name: Name::new(name).unwrap(),
        labels: Default::default(),
        purpose: None,
        owner: None,
        serves: None,
        hosts: Vec::new(),
        attest: uid.map(|uid| Attest {
            uid: Some(uid),
            ..Attest::default()
        }),
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
        record: Default::default(),
        endpoints: if endpoint { vec![real] } else { Vec::new() },
        mutual_auth: None,
        receive: None,
        attest: None,
        limits: ringfence_model::Limits::default(),
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
    let by = by(uid);
    match check(
        &estate,
        &addresses,
        Owner(owner),
        &by,
        &Program::NotShown,
        name,
    )? {
        Decision::Granted(claimed, _) => Ok(*claimed),
        Decision::Look { .. } => panic!("nothing asks for a program"),
    }
}

fn by(uid: u32) -> Claimant {
    Claimant {
        uid,
        unit: Err("it is in no unit".to_owned()),
        vouched: false,
    }
}

/// A claim to be `clerk`, whose `attest` is `attest`.
fn held(
    attest: Attest,
    owner: u32,
    claimant: &Claimant,
    program: &Program,
) -> Result<Decision, Refusal> {
    let (mut estate, addresses) = zone();
    estate.agents[1].attest = Some(attest);
    check(
        &estate,
        &addresses,
        Owner(owner),
        claimant,
        program,
        "clerk",
    )
}

fn digest(of: u8) -> Sha256Digest {
    Sha256Digest::new([of; 32])
}

fn seen(path: &str, sha256: Option<u8>) -> Program {
    let sha256 = sha256.map(digest);
    let path = path.into();
    Program::Seen(Ok(Seen { path, sha256 }))
}

fn unit(name: &str) -> UnitName {
    name.parse().unwrap()
}

#[test]
fn without_a_uid_attest_is_for_owner_and_root() {
    let attest = Attest {
        unit: Some(unit("agents.service")),
        ..Attest::default()
    };
    let in_unit = |uid| Claimant {
        unit: Ok(unit("agents.service")),
        ..by(uid)
    };
    let claim = |uid| held(attest.clone(), OWNER, &in_unit(uid), &Program::NotShown);
    for uid in [OWNER, 0] {
        assert!(matches!(claim(uid), Ok(Decision::Granted(..))));
    }
    assert!(
        claim(STRANGER)
            .unwrap_err()
            .detail
            .unwrap()
            .contains("no uid")
    );
}

#[test]
fn attest_unit_is_the_unit_of_the_system_that_run_is_called_in() {
    let attest = Attest {
        uid: Some(STRANGER),
        unit: Some(unit("agents.service")),
        ..Attest::default()
    };
    let claim = |unit: Result<UnitName, String>| {
        let claimant = Claimant {
            unit,
            ..by(STRANGER)
        };
        held(attest.clone(), 0, &claimant, &Program::NotShown)
    };
    let Ok(Decision::Granted(_, checked)) = claim(Ok(unit("agents.service"))) else {
        panic!("refused");
    };
    assert_eq!(checked.to_string(), "uid, unit agents.service");
    for (other, why) in [
        (
            Ok(unit("user@2000.service")),
            "you are in user@2000.service",
        ),
        (Err("it left".to_owned()), "your unit is not known: it left"),
    ] {
        let refusal = claim(other).unwrap_err();
        assert!(refusal.recorded().contains(why), "{refusal:?}");
        assert!(
            !refusal.reason.contains("unit") && !refusal.hint.contains("agents"),
            "{refusal:?}"
        );
    }
}

#[test]
fn exe_and_sha256_are_of_what_is_started() {
    let attest = Attest {
        exe: Some("/opt/agent".into()),
        sha256: Some(digest(1)),
        ..Attest::default()
    };
    let claim = |program: Program| held(attest.clone(), 0, &by(0), &program);
    assert_eq!(
        claim(Program::Shown).unwrap(),
        Decision::Look { digest: true }
    );
    let Ok(Decision::Granted(_, checked)) = claim(seen("/opt/agent", Some(1))) else {
        panic!("refused");
    };
    let text = format!("owner or root, exe /opt/agent, sha256 {}", digest(1));
    assert_eq!(checked.to_string(), text);
    // What was seen at the start is what a resumed claim is held to.
    assert_eq!(checked.program(), seen("/opt/agent", Some(1)));
    for (program, why) in [
        (Program::NotShown, "not found"),
        (seen("/opt/other", Some(1)), "you start /opt/other"),
        (seen("/opt/agent", Some(2)), "0202"),
        (seen("/opt/agent", None), "not known"),
        (
            Program::Seen(Err("others may change it".to_owned())),
            "others may change it",
        ),
    ] {
        let refusal = claim(program).unwrap_err();
        assert!(refusal.reason.contains(why), "{refusal:?}");
    }
}

#[test]
fn exe_alone_asks_for_no_digest() {
    let attest = Attest {
        exe: Some("/opt/agent".into()),
        ..Attest::default()
    };
    let look = held(attest.clone(), 0, &by(0), &Program::Shown);
    assert_eq!(look.unwrap(), Decision::Look { digest: false });
    held(attest, 0, &by(0), &seen("/opt/agent", None)).unwrap();
}

#[test]
fn a_launcher_of_another_user_is_believed_only_when_it_is_vouched_for() {
    let attest = Attest {
        uid: Some(STRANGER),
        exe: Some("/opt/agent".into()),
        ..Attest::default()
    };
    let vouched = Claimant {
        vouched: true,
        ..by(STRANGER)
    };
    let seen = seen("/opt/agent", None);
    held(attest.clone(), 0, &vouched, &seen).unwrap();
    let refusal = held(attest.clone(), 0, &by(STRANGER), &seen).unwrap_err();
    assert!(refusal.recorded().contains("not proven"), "{refusal:?}");
    assert_eq!(refusal.reason, not_yours("clerk", Owner(0)).reason);
    // Nor is its program looked at.
    held(attest.clone(), 0, &by(STRANGER), &Program::Shown).unwrap_err();
    // On a node of one's own there is nobody to be told apart from.
    held(attest, STRANGER, &by(STRANGER), &seen).unwrap();
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
fn another_version_of_the_link_is_refused_with_what_to_exchange() {
    let fix = |version: u32| check_version(version.into()).unwrap_err().hint;
    for version in LINK_OLDEST..=LINK_VERSION {
        check_version(version.into()).unwrap();
    }
    assert!(fix(LINK_OLDEST - 1).contains("ringfence run"));
    assert!(fix(LINK_VERSION + 1).contains("ringfence up --takeover"));
    assert!(check_version(u64::MAX).is_err());
}
