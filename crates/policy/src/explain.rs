//! Verdicts in words.

use jiff::Timestamp;
use ringfence_model::operation::Concrete;
use ringfence_model::{Position, Protocol};
use serde::{Deserialize, Serialize};

use crate::snapshot::{Snapshot, WorkloadIx};
use crate::verdict::{Operation, Reason, Verdict};

/// Longest text of others that is repeated in a reason, in characters; what is longer is cut.
const QUOTED_MAX: usize = 120;

/// A verdict in words, for the record and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it may pass.
    pub allowed: bool,
    /// e.g. `no rule of policy customer-service names service payments`
    pub reason: String,
    /// Where the rule stands that decided: the initiator's when allowed, an exemption that has ended.
    pub rule: Option<Position>,
    /// The nearest rule and what differs, when denied.
    pub nearest: Option<(Position, String)>,
    /// The policy mode: "enforce".
    pub mode: &'static str,
}

/// What `policy explain -o json` and `--batch` print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// `allow` or `deny`.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// `FILE:LINE` of the rule that decided.
    pub rule: Option<String>,
}

impl From<&Explanation> for Answer {
    fn from(explanation: &Explanation) -> Self {
        Self {
            outcome: if explanation.allowed { "allow" } else { "deny" }.to_owned(),
            reason: explanation.reason.clone(),
            rule: explanation.rule.as_ref().map(Position::to_string),
        }
    }
}

impl Explanation {
    pub(crate) fn denied(reason: String) -> Self {
        Self {
            allowed: false,
            reason,
            rule: None,
            nearest: None,
            mode: "enforce",
        }
    }
}

impl Snapshot {
    /// The same decision in words. `operation: None` explains a `may_meet`.
    pub fn explain(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Option<Operation<'_>>,
        now: Timestamp,
    ) -> Explanation {
        let verdict = self.judge(from, to, operation, now);
        let mut explanation = self.in_words(from, to, operation, &verdict);
        if !explanation.allowed {
            explanation.nearest = self.nearest(from, to, operation, &verdict);
        }
        explanation
    }

    /// From texts, as people and `--batch` give them; unknown names and malformed operations are denied with the reason.
    pub fn explain_text(
        &self,
        from: &str,
        to: &str,
        operation: &str,
        now: Timestamp,
    ) -> Explanation {
        match self.read(from, to, operation) {
            Ok((from, to, operation)) => {
                self.explain(from, to, operation.as_ref().map(Operation::from), now)
            }
            Err(reason) => Explanation::denied(reason),
        }
    }

    /// As [`Snapshot::explain_text`], without looking for the nearest rule.
    pub(crate) fn answer_text(
        &self,
        from: &str,
        to: &str,
        operation: &str,
        now: Timestamp,
    ) -> Explanation {
        match self.read(from, to, operation) {
            Ok((from, to, operation)) => {
                let operation = operation.as_ref().map(Operation::from);
                let verdict = self.judge(from, to, operation, now);
                self.in_words(from, to, operation, &verdict)
            }
            Err(reason) => Explanation::denied(reason),
        }
    }

    /// The operation is `None` only where the receiver serves nothing, so that there is no protocol to read it by.
    fn read(
        &self,
        from: &str,
        to: &str,
        operation: &str,
    ) -> Result<(WorkloadIx, WorkloadIx, Option<Concrete>), String> {
        let find = |name: &str| {
            self.find(name)
                .or_else(|| self.resolve(name))
                .ok_or_else(|| format!("no agent or service is called {}", quoted(name)))
        };
        let (from, to) = (find(from)?, find(to)?);
        let callee = self.workload(to);
        let Some((protocol, _)) = callee.serves else {
            return Ok((from, to, None));
        };
        let operation = Concrete::parse(operation, protocol, callee.path_allowances)
            .map_err(|error| format!("{error}; {}", error.help()))?;
        Ok((from, to, Some(operation)))
    }

    fn in_words(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Option<Operation<'_>>,
        verdict: &Verdict,
    ) -> Explanation {
        let (Some(source), Some(target)) = (self.get(from), self.get(to)) else {
            return Explanation::denied(Reason::Unknown.as_str().to_owned());
        };
        let (source, speaks, target) = (&source.id, target.serves, &target.id);
        let policy = self.facts[from.index as usize].policy.as_ref();
        let policy = policy.map_or("", |name| name.as_str());
        let asked = match operation {
            None => "any operation".to_owned(),
            Some(Operation::Connect) => "connect".to_owned(),
            Some(Operation::Send) => "send".to_owned(),
            Some(Operation::Http { method, path }) => {
                format!("{} {}", cut(method), cut(path.as_str()))
            }
        };
        let reason = match verdict.reason {
            Reason::Allowed => self.allowed_words(policy, &target.to_string(), verdict),
            Reason::InitiatorWithoutPolicy => {
                format!("{source} has no policy, so it may start nothing")
            }
            Reason::ReceiverNotNamed => format!("no rule of policy {policy} names {target}"),
            Reason::OperationNotInitiated => {
                format!("no rule of policy {policy} for {target} allows {asked}")
            }
            Reason::ReceiverWithoutPolicy => {
                format!("{target} has no policy, so nothing may reach it")
            }
            Reason::InitiatorNotReceived => format!("{target} does not receive from {source}"),
            Reason::OperationNotReceived => {
                format!("{target} does not receive {asked} from {source}")
            }
            Reason::NothingInCommon => format!(
                "policy {policy} and {target} each allow something between them, but no operation that the other allows"
            ),
            Reason::NothingServed => format!("{target} serves nothing"),
            Reason::OtherProtocol => match speaks {
                Some((Protocol::Tcp, _)) => {
                    format!("{target} speaks tcp, whose one operation is connect")
                }
                Some((Protocol::Udp, _)) => {
                    format!("{target} speaks udp, whose one operation is send")
                }
                _ => format!("{target} speaks http, whose operations are METHOD /path"),
            },
            Reason::ExemptionLapsed => match &self.facts[to.index as usize].lapse {
                Some(lapse) if lapse.from > Timestamp::MIN => format!(
                    "the exemption of {target} from mutual authentication ended with {}",
                    lapse.last_day
                ),
                _ => format!("{target} has an endpoint without mutual authentication"),
            },
            Reason::Unknown => verdict.reason.as_str().to_owned(),
        };
        Explanation {
            allowed: verdict.is_allowed(),
            reason,
            rule: self.rule(verdict, to).cloned(),
            nearest: None,
            mode: "enforce",
        }
    }

    fn allowed_words(&self, policy: &str, target: &str, verdict: &Verdict) -> String {
        let ours = self.rule_at(verdict.initiate).map_or("", |rule| &rule.text);
        let mut words = format!("policy {policy} allows {}", cut(ours));
        match self.rule_at(verdict.receive) {
            Some(rule) => {
                words += &format!(", {target} receives {} ({})", cut(&rule.text), rule.at);
            }
            None => words += &format!(", {target} takes whoever names it"),
        }
        words
    }
}

/// At most [`QUOTED_MAX`] characters of it.
pub(crate) fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// As in source text, so that control characters do no harm.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text))
}
