//! Verdicts in words.

use jiff::Timestamp;
use ringfence_model::Position;
use ringfence_model::operation::Concrete;
use ringfence_model::resource::ModeKind;
use serde::{Deserialize, Serialize};

use crate::condition::{Moment, Seen};
use crate::snapshot::{Snapshot, WorkloadIx};
use crate::verdict::{Operation, Reason, Ruled, Verdict, Which};

/// Longest text of others that is repeated in a reason, in characters; what is longer is cut.
const QUOTED_MAX: usize = 120;

/// A verdict in words, for the record and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it may pass: allowed, or refused by a policy that only learns or is tried.
    pub allowed: bool,
    /// What becomes of it.
    pub ruled: Ruled,
    /// e.g. `no rule of policy customer-service names service payments`
    pub reason: String,
    /// Where the rule stands that decided: the initiator's when allowed; a condition, a guardrail or an exemption that stood
    /// in the way.
    pub rule: Option<Position>,
    /// The nearest rule and what differs, when denied.
    pub nearest: Option<(Position, String)>,
    /// The mode of the policy it rests on: `enforce`, `learn`, `shadow`.
    pub mode: &'static str,
    /// It is denied because a condition needs what was not supplied; with that, it might be allowed.
    pub conditional: bool,
    /// What that condition needs: `request.query.limit`, `body`.
    pub needs: Vec<String>,
}

/// What `policy explain -o json` and `--batch` print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// `allow`, `would-deny` or `deny`.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// `FILE:LINE` of the rule that decided.
    pub rule: Option<String>,
    /// Only where it is true: denied for want of what a condition needs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
    /// What that condition needs. Only with `conditional`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

impl From<&Explanation> for Answer {
    fn from(explanation: &Explanation) -> Self {
        Self {
            outcome: explanation.ruled.as_str().to_owned(),
            reason: explanation.reason.clone(),
            rule: explanation.rule.as_ref().map(Position::to_string),
            conditional: explanation.conditional,
            needs: explanation.needs.clone(),
        }
    }
}

impl Explanation {
    pub(crate) fn denied(reason: String) -> Self {
        Self {
            allowed: false,
            ruled: Ruled::Deny,
            reason,
            rule: None,
            nearest: None,
            mode: ModeKind::Enforce.as_str(),
            conditional: false,
            needs: Vec::new(),
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
        moment: &Moment<'_>,
    ) -> Explanation {
        let verdict = self.judge(from, to, operation, moment);
        self.words(from, to, operation, &verdict)
    }

    /// A verdict of this snapshot in words: the one that decided, so that nothing is asked again. `operation: None` is for
    /// a verdict of `may_meet`.
    pub fn words(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Option<Operation<'_>>,
        verdict: &Verdict,
    ) -> Explanation {
        let mut explanation = self.in_words(from, to, operation, verdict);
        if explanation.ruled != Ruled::Allow {
            explanation.nearest = self.nearest(from, to, operation, verdict);
        }
        explanation
    }

    /// From texts, as people and `--batch` give them; unknown names and malformed operations are denied with the reason.
    pub fn explain_text(
        &self,
        from: &str,
        to: &str,
        operation: &str,
        moment: &Moment<'_>,
    ) -> Explanation {
        match self.read(from, to, operation) {
            Ok((from, to, operation)) => {
                self.explain(from, to, operation.as_ref().map(Operation::from), moment)
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
        moment: &Moment<'_>,
    ) -> Explanation {
        match self.read(from, to, operation) {
            Ok((from, to, operation)) => {
                let operation = operation.as_ref().map(Operation::from);
                let verdict = self.judge(from, to, operation, moment);
                self.in_words(from, to, operation, &verdict)
            }
            Err(reason) => Explanation::denied(reason),
        }
    }

    /// As [`Snapshot::explain_text`], before an operation is known: whether any could be allowed between the two.
    pub fn explain_meeting(&self, from: &str, to: &str, now: Timestamp) -> Explanation {
        match self
            .named(from)
            .and_then(|from| Ok((from, self.named(to)?)))
        {
            Ok((from, to)) => self.explain(from, to, None, &Moment::at(now, Seen::Connection)),
            Err(reason) => Explanation::denied(reason),
        }
    }

    /// By any name it answers to, as people write it.
    fn named(&self, name: &str) -> Result<WorkloadIx, String> {
        self.find(name)
            .or_else(|| self.resolve(name))
            .ok_or_else(|| format!("no agent or service is called {}", quoted(name)))
    }

    /// The operation is `None` only where the receiver serves nothing, so that there is no protocol to read it by.
    fn read(
        &self,
        from: &str,
        to: &str,
        operation: &str,
    ) -> Result<(WorkloadIx, WorkloadIx, Option<Concrete>), String> {
        let (from, to) = (self.named(from)?, self.named(to)?);
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
            Some(Operation::Grpc(call)) => cut(call.as_str()).into_owned(),
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
                "policy {policy} and {target} each allow something between them, but no operation that the other, and every guardrail, allows at this time"
            ),
            Reason::ConditionFalse
            | Reason::ConditionErrored
            | Reason::ConditionUnknown
            | Reason::RuleEnded
            | Reason::Guardrail
            | Reason::GuardrailErrored => self.obstacle_words(verdict, &asked),
            Reason::NothingServed => format!("{target} serves nothing"),
            Reason::OtherProtocol => match speaks {
                Some((protocol, _)) => {
                    format!("{target} speaks {protocol}, {}", protocol.operations())
                }
                None => format!("{target} serves nothing"),
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
        let needs = match verdict.reason {
            Reason::ConditionUnknown => self.needs(verdict),
            _ => Vec::new(),
        };
        Explanation {
            allowed: verdict.is_allowed(),
            ruled: verdict.ruled,
            reason,
            rule: self.rule(verdict, to).cloned(),
            nearest: None,
            mode: verdict.mode.as_str(),
            conditional: verdict.reason == Reason::ConditionUnknown,
            needs,
        }
    }

    fn needs(&self, verdict: &Verdict) -> Vec<String> {
        let when = match verdict.obstacle.as_ref().map(|obstacle| obstacle.what) {
            Some(Which::Rule(rule)) => self.rule_at(rule).and_then(|rule| rule.when.as_ref()),
            Some(Which::Guardrail(index)) => self
                .guardrails
                .get(index as usize)
                .and_then(|guardrail| guardrail.when.as_ref()),
            None => None,
        };
        when.map(|when| when.needs().supplied()).unwrap_or_default()
    }

    /// What the rule or guardrail says that stood in the way.
    fn obstacle_words(&self, verdict: &Verdict, asked: &str) -> String {
        let Some(obstacle) = &verdict.obstacle else {
            return verdict.reason.as_str().to_owned();
        };
        let error = obstacle.error.as_ref();
        let error = error.map(ToString::to_string).unwrap_or_default();
        let needs = || self.needs(verdict).join(", ");
        match obstacle.what {
            Which::Rule(rule) => {
                let Some(rule) = self.rule_at(rule) else {
                    return verdict.reason.as_str().to_owned();
                };
                let (text, when) = (
                    cut(&rule.text),
                    rule.when.as_ref().map_or("", |when| when.text()),
                );
                let when = cut(when);
                match verdict.reason {
                    Reason::ConditionErrored => {
                        format!("condition of rule {text} could not be evaluated: {error} ({when})")
                    }
                    Reason::ConditionUnknown => {
                        format!("rule {text} depends on {}: {when}", needs())
                    }
                    Reason::RuleEnded => match rule.end {
                        Some(end) => format!("rule {text} ended at {end}"),
                        None => format!("rule {text} has ended"),
                    },
                    _ => format!("condition of rule {text} is false: {when}"),
                }
            }
            Which::Guardrail(index) => {
                let Some(guardrail) = self.guardrails.get(index as usize) else {
                    return verdict.reason.as_str().to_owned();
                };
                let name = &guardrail.name;
                match verdict.reason {
                    Reason::GuardrailErrored => format!(
                        "guardrail {name} forbids {asked}, because its condition could not be evaluated: {error}"
                    ),
                    Reason::ConditionUnknown => {
                        format!("guardrail {name} on {asked} depends on {}", needs())
                    }
                    _ => format!("guardrail {name} forbids {asked}: {}", guardrail.why),
                }
            }
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
