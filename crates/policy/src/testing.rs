//! Tests, those of policies and those that are resources.
//!
//! They are run at every compilation, where one that does not hold rejects the generation, and when somebody asks how all
//! of them do.

mod reach;

use jiff::Timestamp;
use ringfence_model::resource::{TestPeer, With};
use ringfence_model::{Diagnostic, Estate, Position};

use crate::condition::{Moment, WithError};
use crate::explain::cut;
use crate::snapshot::Snapshot;
use crate::spread::Web;
use crate::verdict::Ruled;

/// When the tests are run, unless they say so themselves: before any exemption or rule can have ended, and before any mode
/// softens.
const THEN: Timestamp = Timestamp::UNIX_EPOCH;

/// One test, and how it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// Whose it is: `policy assistant`, `Test no-payments`.
    pub of: String,
    /// Initiator.
    pub from: String,
    /// Receiver.
    pub to: String,
    /// What must come out.
    pub claimed: Claimed,
    /// Where it stands.
    pub at: Position,
    /// Why the decision is what it is.
    pub reason: String,
    /// Where the rule stands that decided, if one did.
    pub rule: Option<Position>,
    /// Why the test does not hold, with a fix; `None` when it holds.
    pub failure: Option<Diagnostic>,
}

/// What a test says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Of one operation.
    Operation {
        /// As written.
        text: String,
        /// Whether it must be allowed.
        allow: bool,
    },
    /// Of all ways between the two, directly and through others.
    Reach {
        /// Whether there must be one.
        reachable: bool,
        /// Most connections on it.
        hops: Option<u32>,
    },
}

impl TestReport {
    /// `allow`, `deny`, `reachable` or `unreachable`: what must come out.
    pub fn expected(&self) -> &'static str {
        match &self.claimed {
            Claimed::Operation { allow, .. } => word(*allow),
            Claimed::Reach {
                reachable: true, ..
            } => "reachable",
            Claimed::Reach {
                reachable: false, ..
            } => "unreachable",
        }
    }
}

fn word(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}

impl Snapshot {
    /// Runs every test of `estate`, which this snapshot is made of, in the order of policies, then of test resources.
    pub fn test<'a>(&'a self, estate: &'a Estate) -> impl Iterator<Item = TestReport> + 'a {
        let reaches = estate.tests.iter().flat_map(|test| {
            let of = format!("Test {}", test.name);
            test.reaches.iter().map(move |case| (of.clone(), case))
        });
        // Made for the first of them, and looked at as far as they ask.
        let mut web = None;
        let reaches = reaches.map(move |(of, case)| {
            let web = web.get_or_insert_with(|| Web::new(self, THEN));
            reach::check(self, web, of, case)
        });
        claims(estate)
            .map(|claim| check(self, &claim))
            .chain(reaches)
    }
}

/// Those that do not hold.
pub(crate) fn failures(snapshot: &Snapshot, estate: &Estate) -> Vec<Diagnostic> {
    snapshot
        .test(estate)
        .filter_map(|report| report.failure)
        .collect()
}

/// One claim, wherever it stands.
struct Claim<'a> {
    of: String,
    from: &'a str,
    to: &'a str,
    allow: bool,
    operation: &'a str,
    with: Option<&'a With>,
    at: &'a Position,
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

fn check(snapshot: &Snapshot, claim: &Claim<'_>) -> TestReport {
    let Claim {
        of,
        from,
        to,
        allow,
        operation,
        with,
        at,
    } = claim;
    let report =
        |reason: String, rule: Option<Position>, failure: Option<(String, String)>| TestReport {
            of: of.clone(),
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            claimed: Claimed::Operation {
                text: (*operation).to_owned(),
                allow: *allow,
            },
            at: (*at).clone(),
            reason,
            rule: rule.clone(),
            failure: failure.map(|(message, help)| Diagnostic {
                at: Some((*at).clone()),
                message,
                text: None,
                help: Some(help),
                also: rule,
            }),
        };
    let moment = match Moment::supplied(*with, THEN) {
        Ok(moment) => moment,
        Err(WithError { message, help }) => {
            return report(message.clone(), None, Some((message, help)));
        }
    };
    let found = snapshot.explain_text(from, to, operation, &moment);
    let operation = cut(operation);
    if found.conditional {
        let message = format!(
            "a test of {of} does not say enough: {from} → {to} : {operation}: {}",
            found.reason
        );
        let help = format!("add `with`, and in it {}", found.needs.join(", "));
        return report(found.reason, found.rule, Some((message, help)));
    }
    let allowed = found.ruled == Ruled::Allow;
    if allowed == *allow {
        return report(found.reason, found.rule, None);
    }
    let help = match (&found.rule, &found.nearest) {
        (Some(at), _) => format!("the rule is at {at}; change the rule or the test"),
        (None, Some((at, differs))) => {
            format!("the nearest rule is at {at}, {differs}; change the rule or the test")
        }
        (None, None) => "add a rule, or change the test".to_owned(),
    };
    let message = format!(
        "a test of {of} does not hold: {from} → {to} : {operation} should be {} but is {}: {}",
        word(*allow),
        word(allowed),
        found.reason
    );
    report(found.reason, found.rule, Some((message, help)))
}
