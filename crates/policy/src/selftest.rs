//! The tests that policies carry: run at every compilation, and one that does not hold rejects the generation.

use jiff::Timestamp;
use ringfence_model::resource::{Policy, PolicyTest, TestPeer};
use ringfence_model::{Diagnostic, Estate};

use crate::explain::cut;
use crate::snapshot::Snapshot;

/// When the tests are run: before any exemption can have ended.
const THEN: Timestamp = Timestamp::UNIX_EPOCH;

pub(crate) fn run(snapshot: &Snapshot, estate: &Estate) -> Vec<Diagnostic> {
    estate
        .policies
        .iter()
        .flat_map(|policy| {
            policy
                .tests
                .iter()
                .filter_map(|test| check(snapshot, policy, test))
        })
        .collect()
}

fn check(snapshot: &Snapshot, policy: &Policy, test: &PolicyTest) -> Option<Diagnostic> {
    let subject = policy.subject.name.as_str();
    let (from, to) = match &test.peer {
        TestPeer::To(peer) => (subject, peer.as_str()),
        TestPeer::From(peer) => (peer.as_str(), subject),
    };
    let found = snapshot.explain_text(from, to, &test.operation, THEN);
    if found.allowed == test.allow {
        return None;
    }
    let (expected, outcome) = if test.allow {
        ("allow", "deny")
    } else {
        ("deny", "allow")
    };
    let operation = cut(&test.operation);
    let help = match (&found.rule, &found.nearest) {
        (Some(at), _) => format!("the rule is at {at}; change the rule or the test"),
        (None, Some((at, differs))) => {
            format!("the nearest rule is at {at}, {differs}; change the rule or the test")
        }
        (None, None) => "add a rule, or change the test".to_owned(),
    };
    Some(Diagnostic {
        at: Some(test.at.clone()),
        message: format!(
            "a test of policy {} does not hold: {from} → {to} : {operation} should be {expected} but is {outcome}: {}",
            policy.name, found.reason
        ),
        text: None,
        help: Some(help),
        also: found.rule.clone(),
    })
}
