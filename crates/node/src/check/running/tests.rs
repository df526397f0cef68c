use ringfence_compartment::probe::Outcome;

use super::*;
use crate::status::{Rejected, Workload};

/// As a node says it: what is left out here has a default.
fn healthy() -> Status {
    let since = jiff::Timestamp::UNIX_EPOCH;
    serde_json::from_value(serde_json::json!({
        "node": "n",
        "zone": "ringfence.internal",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": 1,
        "since": since,
        "state": "/state",
        "config": std::env::temp_dir(),
        "policy": { "generation": 3, "origin": "config", "services": 1, "agents": 1, "policies": 1, "rejected": null },
        "enforcer": { "state": "running", "pid": 2, "serving": true, "restarts": 0, "lastEnd": null, "connections": 0 },
        "log": { "head": 7, "trouble": null },
        "workloads": [{
            "instance": "a-1", "kind": "agent", "name": "a", "uid": 0, "pid": 3, "command": "true", "since": since,
            "armed": true, "connected": true, "known": true,
        }],
        "notes": [],
        "degraded": [],
    }))
    .unwrap()
}

/// Everything that is not as it should be.
fn wrong(status: &Status) -> Vec<(String, Outcome)> {
    wrong_of(judge(status, None, false))
}

fn wrong_of(found: Vec<Finding>) -> Vec<(String, Outcome)> {
    found
        .into_iter()
        .filter(|finding| finding.outcome != Outcome::Ok)
        .inspect(|finding| assert!(finding.hint.is_some(), "{finding:?}"))
        .map(|finding| (finding.id, finding.outcome))
        .collect()
}

fn only(id: &str, outcome: Outcome) -> Vec<(String, Outcome)> {
    vec![(id.to_owned(), outcome)]
}

#[test]
fn a_healthy_node_has_nothing_to_say() {
    assert_eq!(wrong(&healthy()), []);
}

#[test]
fn each_fault_is_told_once_under_its_own_name() {
    let mut other = healthy();
    other.version = "0.0.1".to_owned();
    assert_eq!(wrong(&other), only("node", Outcome::Warn));

    let mut down = healthy();
    (down.enforcer.pid, down.enforcer.serving) = (None, false);
    assert_eq!(wrong(&down), only("enforcer", Outcome::Fail));

    let mut hung = healthy();
    hung.degraded = vec![Degraded::new(
        "the enforcer does not answer; nothing",
        "wait",
    )];
    assert_eq!(wrong(&hung), only("enforcer", Outcome::Fail));

    let mut away = healthy();
    away.enforcer.state = crate::status::EnforcerState::Hung;
    assert_eq!(wrong(&away), only("enforcer", Outcome::Fail));

    let mut full = healthy();
    full.log.trouble = Some("no space left on device".to_owned());
    full.degraded = vec![Degraded::new(
        "the flow log takes nothing: no space",
        "make room",
    )];
    assert_eq!(wrong(&full), only("log", Outcome::Fail));

    let mut rejected = healthy();
    rejected.policy.rejected = Some(Rejected {
        since: jiff::Timestamp::UNIX_EPOCH,
        errors: vec!["a.yaml:1: wrong\n  more".to_owned()],
    });
    rejected.degraded = vec![Degraded::new("the configuration is rejected since", "mend")];
    assert_eq!(wrong(&rejected), only("configuration", Outcome::Warn));

    let mut last_good = healthy();
    last_good.policy.origin = Origin::LastGood;
    assert_eq!(wrong(&last_good), only("generation", Outcome::Warn));

    let mut nothing = healthy();
    nothing.policy.origin = Origin::Nothing;
    nothing.degraded = vec![Degraded::new("no policy is in force: everything", "put")];
    assert_eq!(wrong(&nothing), only("generation", Outcome::Fail));

    let mut gone = healthy();
    gone.config = "/nonexistent/ringfence".into();
    assert_eq!(wrong(&gone), only("configuration", Outcome::Warn));

    // What later versions of the node may say.
    let mut new = healthy();
    new.degraded = vec![Degraded::new("something nobody knew", "fix it")];
    assert_eq!(wrong(&new), only("degraded", Outcome::Fail));
}

#[test]
fn doors_that_nobody_watches_fail_and_unknown_names_warn() {
    let with = |change: fn(&mut Workload)| {
        let mut status = healthy();
        change(&mut status.workloads[0]);
        wrong(&status)
    };
    assert_eq!(
        with(|workload| workload.armed = false),
        only("doors", Outcome::Fail)
    );
    assert_eq!(
        with(|workload| workload.connected = false),
        only("doors", Outcome::Fail)
    );
    assert_eq!(
        with(|workload| workload.known = false),
        only("doors", Outcome::Warn)
    );
}

#[test]
fn an_enforcer_that_was_restarted_warns_and_one_that_keeps_dying_fails() {
    let mut before = healthy();
    before.enforcer.restarts = 2;
    let mut after = before.clone();
    let of = |again: &Status| wrong_of(judge(&before, Some(again), false));
    assert_eq!(of(&after), only("enforcer", Outcome::Warn));
    after.enforcer.restarts = 3;
    assert_eq!(of(&after), only("enforcer", Outcome::Fail));
    let stopped = judge(&healthy(), None, true);
    assert_eq!(wrong_of(stopped), only("enforcer", Outcome::Fail));
}
