//! Tests, those of policies and those that are resources: run at every compilation, and one that does not hold rejects the generation.

use jiff::Timestamp;
use ringfence_model::resource::{TestPeer, With};
use ringfence_model::{Diagnostic, Estate, Position};

use crate::condition::{Moment, WithError};
use crate::explain::cut;
use crate::snapshot::Snapshot;
use crate::verdict::Ruled;

/// When the tests are run, unless they say so themselves: before any exemption or rule can have ended, and before any mode
/// softens.
const THEN: Timestamp = Timestamp::UNIX_EPOCH;

/// One claim, wherever it stands.
struct Claim<'a> {
    /// Whose, for messages: `policy clerk`, `Test no-payments`.
    of: String,
    from: &'a str,
    to: &'a str,
    allow: bool,
    operation: &'a str,
    with: Option<&'a With>,
    at: &'a Position,
}

pub(crate) fn run(snapshot: &Snapshot, estate: &Estate) -> Vec<Diagnostic> {
    claims(estate)
        .filter_map(|claim| check(snapshot, &claim))
        .collect()
}

fn claims(estate: &Estate) -> impl Iterator<Item = Claim<'_>> {
    let own = estate.policies.iter().flat_map(|policy| {
        let subject = policy.subject.name.as_str();
        policy.tests.iter().map(move |test| {
            let (from, to) = match &test.peer {
                TestPeer::To(peer) => (subject, peer.as_str()),
                TestPeer::From(peer) => (peer.as_str(), subject),
            };
            Claim {
                of: format!("policy {}", policy.name),
                from,
                to,
                allow: test.allow,
                operation: &test.operation,
                with: test.with.as_ref(),
                at: &test.at,
            }
        })
    });
    let resources = estate.tests.iter().flat_map(|test| {
        test.cases.iter().map(move |case| Claim {
            of: format!("Test {}", test.name),
            from: case.from.as_str(),
            to: case.to.as_str(),
            allow: case.allow,
            operation: &case.operation,
            with: case.with.as_ref(),
            at: &case.at,
        })
    });
    own.chain(resources)
}

fn check(snapshot: &Snapshot, claim: &Claim<'_>) -> Option<Diagnostic> {
    let Claim {
        of,
        from,
        to,
        allow,
        operation,
        with,
        at,
    } = claim;
    let wrong = |message: String, help: String, also: Option<Position>| Diagnostic {
        at: Some((*at).clone()),
        message,
        text: None,
        help: Some(help),
        also,
    };
    let moment = match Moment::supplied(*with, THEN) {
        Ok(moment) => moment,
        Err(WithError { message, help }) => return Some(wrong(message, help, None)),
    };
    let found = snapshot.explain_text(from, to, operation, &moment);
    let operation = cut(operation);
    if found.conditional {
        let message = format!(
            "a test of {of} does not say enough: {from} → {to} : {operation}: {}",
            found.reason
        );
        let help = format!("add `with`, and in it {}", found.needs.join(", "));
        return Some(wrong(message, help, found.rule));
    }
    if (found.ruled == Ruled::Allow) == *allow {
        return None;
    }
    let (expected, outcome) = if *allow {
        ("allow", "deny")
    } else {
        ("deny", "allow")
    };
    let help = match (&found.rule, &found.nearest) {
        (Some(at), _) => format!("the rule is at {at}; change the rule or the test"),
        (None, Some((at, differs))) => {
            format!("the nearest rule is at {at}, {differs}; change the rule or the test")
        }
        (None, None) => "add a rule, or change the test".to_owned(),
    };
    let message = format!(
        "a test of {of} does not hold: {from} → {to} : {operation} should be {expected} but is {outcome}: {}",
        found.reason
    );
    Some(wrong(message, help, found.rule))
}
