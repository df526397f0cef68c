//! The decision: may this initiator do this operation to this receiver, now?
//!
//! In this order: both are known and the receiver speaks such operations · the initiator's list · the receiver's list ·
//! the receiver's exemption · guardrails. Of each list, rules without condition are walked first; the others are asked
//! only where none of those matches. A policy that learns or is tried has its own refusals softened; nothing else is.

use jiff::Timestamp;
use ringfence_model::operation::Pattern;
use ringfence_model::resource::ModeKind;
use ringfence_model::{GRPC_METHOD, Kind, Position};

use crate::condition::{About, Asked, ConditionError, Moment, Party};
use crate::guardrail::{Dialect, Guardrail, Says};
use crate::snapshot::{
    Conditional, Facts, List, Others, Pair, Snapshot, Soft, WorkloadIx, pair_key,
};
use crate::verdict::{Obstacle, Operation, Reason, Recheck, RuleRef, Ruled, Verdict, Which};

/// What one side says to one operation.
struct Side {
    rule: RuleRef,
    recheck: Recheck,
}

/// Why one side says no.
struct Refusal {
    reason: Reason,
    obstacle: Option<Box<Obstacle>>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            obstacle: None,
        }
    }
}

/// The verdict as far as it has come.
struct Course {
    verdict: Verdict,
    /// The first refusal that was softened, and by what.
    softened: Option<(Refusal, ModeKind)>,
}

impl Course {
    /// Passes over the refusal of a policy that is soft; ends in denial otherwise.
    fn refuse(&mut self, refusal: Refusal, soft: Option<Soft>) -> Result<(), Verdict> {
        let Some(soft) = soft else {
            return Err(self.denied(refusal));
        };
        self.verdict.recheck = self.verdict.recheck.and(Recheck::at(Some(soft.end)));
        self.softened.get_or_insert((refusal, soft.kind));
        Ok(())
    }

    fn denied(&self, refusal: Refusal) -> Verdict {
        Verdict {
            ruled: Ruled::Deny,
            reason: refusal.reason,
            obstacle: refusal.obstacle,
            recheck: Recheck::NEVER,
            ..self.verdict.clone()
        }
    }
}

impl Snapshot {
    /// Is there any operation both ends allow? What connections (before the first byte) and DNS ask.
    ///
    /// `deny` means that [`Snapshot::decide`] allows none. `allow` means that it allows some, as far as conditions can
    /// be true, and but for guardrails on operations that a softened policy lets pass.
    pub fn may_meet(&self, from: WorkloadIx, to: WorkloadIx, now: Timestamp) -> Verdict {
        self.judge(from, to, None, &Moment::at(now, crate::Seen::Connection))
    }

    /// May `from` do `operation` to `to`? One hash look-up and one walk for each end; no allocation, no lock. Where only
    /// rules with conditions match, those are evaluated; where guardrails are about the two, each is walked.
    pub fn decide(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Operation<'_>,
        moment: &Moment<'_>,
    ) -> Verdict {
        self.judge(from, to, Some(operation), moment)
    }

    /// Whether a decision between the two may ask a condition, so that the request has to be at hand.
    pub fn reads_request(&self, from: WorkloadIx, to: WorkloadIx) -> bool {
        if self.get(from).is_none() || self.get(to).is_none() {
            return false;
        }
        self.conditionals(from, to)
            .any(|rule| self.rule_at(rule).is_some_and(|rule| rule.when.is_some()))
            || self
                .guards(from, to)
                .any(|guardrail| guardrail.when.is_some())
    }

    /// Whether a decision on `operation` may ask a condition that reads the body.
    pub fn reads_body(&self, from: WorkloadIx, to: WorkloadIx, operation: Operation<'_>) -> bool {
        let (Some(_), Some(target)) = (self.get(from), self.get(to)) else {
            return false;
        };
        let pair = self.pairs.get(&pair_key(from.index, to.index));
        let mut lists = pair
            .into_iter()
            .flat_map(|pair| [pair.initiate, pair.receive])
            .flatten();
        let rules = lists.any(|list| {
            // As in `side`: where a rule without condition matches, no other is asked.
            self.tries.find(list.root, operation).is_none()
                && self.conditional_of(&list).iter().any(|conditional| {
                    let rule = self.rule_at(conditional.rule);
                    rule.and_then(|rule| rule.when.as_ref())
                        .is_some_and(|when| when.needs().body)
                        && matches(&conditional.pattern, operation)
                })
        });
        let Some((protocol, _)) = target.serves else {
            return false;
        };
        let dialect = (protocol, target.path_allowances);
        rules
            || self.guards(from, to).any(|guardrail| {
                let body = |when: &crate::condition::Condition| when.needs().body;
                guardrail.when.as_ref().is_some_and(body)
                    && guardrail.hits(&self.tries, dialect, &self.about(from, to, operation))
            })
    }

    /// Rules of both sides that have a condition or an end.
    fn conditionals(&self, from: WorkloadIx, to: WorkloadIx) -> impl Iterator<Item = RuleRef> {
        let pair = self.pairs.get(&pair_key(from.index, to.index));
        pair.into_iter()
            .flat_map(|pair| [pair.initiate, pair.receive])
            .flatten()
            .flat_map(|list| self.conditional_of(&list))
            .map(|conditional| conditional.rule)
    }

    fn conditional_of(&self, list: &List) -> &[Conditional] {
        let (first, count) = list.conditional;
        self.conditional
            .get(first as usize..)
            .and_then(|rest| rest.get(..count as usize))
            .unwrap_or_default()
    }

    pub(crate) fn guards(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
    ) -> impl Iterator<Item = &Guardrail> {
        self.guardrails
            .iter()
            .filter(move |guardrail| guardrail.concerns(from.index, to.index))
    }

    pub(crate) fn judge(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Option<Operation<'_>>,
        moment: &Moment<'_>,
    ) -> Verdict {
        match self.course(from, to, operation, moment) {
            Ok(Course {
                mut verdict,
                softened,
            }) => {
                if let Some((refusal, mode)) = softened {
                    verdict.ruled = Ruled::WouldDeny;
                    verdict.reason = refusal.reason;
                    verdict.obstacle = refusal.obstacle;
                    verdict.mode = mode;
                }
                verdict
            }
            Err(denied) => denied,
        }
    }

    fn course(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Option<Operation<'_>>,
        moment: &Moment<'_>,
    ) -> Result<Course, Verdict> {
        let (Some(_), Some(receiver)) = (self.get(from), self.get(to)) else {
            return Err(Verdict::deny(Reason::Unknown));
        };
        let Some((protocol, _)) = receiver.serves else {
            return Err(Verdict::deny(Reason::NothingServed));
        };
        if operation.is_some_and(|operation| !operation.is_of(protocol)) {
            return Err(Verdict::deny(Reason::OtherProtocol));
        }
        let (Some(source), Some(target)) = (
            self.facts.get(from.index as usize),
            self.facts.get(to.index as usize),
        ) else {
            return Err(Verdict::deny(Reason::Unknown));
        };
        let now = moment.now;
        // What a service says of itself is no policy's refusal, so its policy's mode does not soften it.
        let (ours, theirs) = (
            soft_at(source, now),
            soft_at(target, now).filter(|_| target.receives_by_policy),
        );
        let pair = self
            .pairs
            .get(&pair_key(from.index, to.index))
            .copied()
            .unwrap_or_default();
        let mut course = Course {
            verdict: Verdict {
                ruled: Ruled::Allow,
                reason: Reason::Allowed,
                ..Verdict::deny(Reason::Allowed)
            },
            softened: None,
        };
        if source.policy.is_none() {
            return Err(Verdict::deny(Reason::InitiatorWithoutPolicy));
        }
        if pair.initiate.is_none() {
            course.refuse(Reason::ReceiverNotNamed.into(), ours)?;
        }
        if pair.receive.is_none() {
            match target.others {
                Others::Welcome => {}
                Others::NotListed => {
                    course.refuse(Reason::InitiatorNotReceived.into(), theirs)?;
                }
                Others::NoPolicy => {
                    return Err(Verdict::deny(Reason::ReceiverWithoutPolicy));
                }
            }
        }
        match operation {
            None => self.meet(&mut course, &pair, [ours, theirs], now)?,
            Some(operation) => {
                let about = self.about(from, to, operation);
                if let Some(list) = pair.initiate {
                    match self.side(&list, &about, moment, Reason::OperationNotInitiated) {
                        Ok(side) => {
                            course.verdict.initiate = side.rule;
                            course.verdict.recheck = course.verdict.recheck.and(side.recheck);
                        }
                        Err(refusal) => course.refuse(refusal, ours)?,
                    }
                }
                if let Some(list) = pair.receive {
                    match self.side(&list, &about, moment, Reason::OperationNotReceived) {
                        Ok(side) => {
                            course.verdict.receive = side.rule;
                            course.verdict.recheck = course.verdict.recheck.and(side.recheck);
                        }
                        Err(refusal) => course.refuse(refusal, theirs)?,
                    }
                }
            }
        }
        if let Some(lapse) = &target.lapse {
            if now >= lapse.from {
                return Err(course.denied(Reason::ExemptionLapsed.into()));
            }
            course.verdict.recheck = course.verdict.recheck.and(Recheck::at(Some(lapse.from)));
        }
        if let Some(operation) = operation {
            let dialect = (protocol, receiver.path_allowances);
            self.guard(&mut course, from, to, dialect, operation, moment)?;
        }
        Ok(course)
    }

    /// What one list says to an operation. `otherwise`: the reason when no rule matches.
    fn side(
        &self,
        list: &List,
        about: &About<'_>,
        moment: &Moment<'_>,
        otherwise: Reason,
    ) -> Result<Side, Refusal> {
        if let Some(position) = self.tries.find(list.root, about.operation) {
            return Ok(Side {
                rule: list.rule(position),
                recheck: Recheck::NEVER,
            });
        }
        let mut worst: Option<(u8, Refusal)> = None;
        for conditional in self.conditional_of(list) {
            if !matches(&conditional.pattern, about.operation) {
                continue;
            }
            let Some(rule) = self.rule_at(conditional.rule) else {
                continue;
            };
            let obstacle = |error| {
                Some(Box::new(Obstacle {
                    what: Which::Rule(conditional.rule),
                    error,
                }))
            };
            let (weight, reason, error) = if rule.end.is_some_and(|end| moment.now >= end) {
                (0, Reason::RuleEnded, None)
            } else {
                let pattern = conditional.pattern.requests();
                let about = About { pattern, ..*about };
                let recheck = Recheck {
                    at: rule.end,
                    volatile: rule.when.as_ref().is_some_and(|when| when.needs().now),
                };
                match rule.when.as_ref().map(|when| when.ask(&about, moment)) {
                    None | Some(Asked::Holds) => {
                        return Ok(Side {
                            rule: conditional.rule,
                            recheck,
                        });
                    }
                    Some(Asked::Fails) => (1, Reason::ConditionFalse, None),
                    Some(Asked::Errored(error)) => (2, Reason::ConditionErrored, Some(error)),
                    Some(Asked::Unknown) => (3, Reason::ConditionUnknown, None),
                }
            };
            if worst.as_ref().is_none_or(|(known, _)| *known < weight) {
                let refusal = Refusal {
                    reason,
                    obstacle: obstacle(error),
                };
                worst = Some((weight, refusal));
            }
        }
        Err(worst.map_or_else(|| otherwise.into(), |(_, refusal)| refusal))
    }

    /// Whether the two lists have an operation in common at this time.
    fn meet(
        &self,
        course: &mut Course,
        pair: &Pair,
        [ours, theirs]: [Option<Soft>; 2],
        now: Timestamp,
    ) -> Result<(), Verdict> {
        let end = |rule: RuleRef| self.rule_at(rule).and_then(|rule| rule.end);
        let alive = |rule: RuleRef| end(rule).is_none_or(|end| now < end);
        if course.softened.is_none() {
            if let Some((initiate, receive)) = pair.meet {
                course.verdict.initiate = initiate;
                course.verdict.receive = receive;
                return Ok(());
            }
            // The pair that lasts longest.
            let found = self
                .timed_of(pair)
                .iter()
                .filter(|(a, b)| alive(*a) && alive(*b))
                .map(|&(a, b)| ([end(a), end(b)].into_iter().flatten().min(), a, b))
                .max_by_key(|(end, ..)| end.unwrap_or(Timestamp::MAX));
            if let Some((end, initiate, receive)) = found {
                course.verdict.initiate = initiate;
                course.verdict.receive = receive;
                course.verdict.recheck = course.verdict.recheck.and(Recheck::at(end));
                return Ok(());
            }
        }
        // Only a softened side can bring them together; the other one has to offer something.
        let offers = |list: List| (0..list.count).any(|position| alive(list.rule(position)));
        let initiates = ours.is_some() || pair.initiate.is_some_and(offers);
        let receives = theirs.is_some() || pair.receive.is_none_or(offers);
        let nothing = || Refusal::from(Reason::NothingInCommon);
        if course.softened.is_some() {
            return match initiates && receives {
                true => Ok(()),
                false => Err(course.denied(nothing())),
            };
        }
        let soft = match (ours, theirs) {
            (Some(soft), _) if receives => Some(soft),
            (_, Some(soft)) if initiates => Some(soft),
            _ => None,
        };
        course.refuse(nothing(), soft)
    }

    fn timed_of(&self, pair: &Pair) -> &[(RuleRef, RuleRef)] {
        let (first, count) = pair.timed;
        self.timed
            .get(first as usize..)
            .and_then(|rest| rest.get(..count as usize))
            .unwrap_or_default()
    }

    fn guard(
        &self,
        course: &mut Course,
        from: WorkloadIx,
        to: WorkloadIx,
        dialect: Dialect,
        operation: Operation<'_>,
        moment: &Moment<'_>,
    ) -> Result<(), Verdict> {
        for (index, guardrail) in (0..).zip(&self.guardrails) {
            if !guardrail.concerns(from.index, to.index) {
                continue;
            }
            let about = self.about(from, to, operation);
            let forbidden = |reason, error: Option<ConditionError>| Refusal {
                reason,
                obstacle: Some(Box::new(Obstacle {
                    what: Which::Guardrail(index),
                    error,
                })),
            };
            let refusal = match guardrail.says(&self.tries, dialect, &about, moment) {
                Says::Nothing(recheck) => {
                    course.verdict.recheck = course.verdict.recheck.and(recheck);
                    continue;
                }
                Says::Forbids => forbidden(Reason::Guardrail, None),
                Says::Errored(error) => forbidden(Reason::GuardrailErrored, Some(error)),
                Says::Unknown => forbidden(Reason::ConditionUnknown, None),
            };
            return Err(course.denied(refusal));
        }
        Ok(())
    }

    pub(crate) fn about<'a>(
        &'a self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Operation<'a>,
    ) -> About<'a> {
        let party = |ix: WorkloadIx| {
            let (workload, facts) = (
                &self.workloads[ix.index as usize],
                &self.facts[ix.index as usize],
            );
            Party {
                name: workload.id.name.as_str(),
                kind: match workload.id.kind {
                    Kind::Agent => "agent",
                    Kind::Service => "service",
                },
                spiffe_id: &facts.spiffe_id,
                owner: facts.owner.as_deref(),
                labels: &facts.labels,
            }
        };
        About {
            source: party(from),
            destination: party(to),
            operation,
            pattern: None,
        }
    }

    /// Where the rule stands that a verdict of this snapshot rests on: the initiator's rule when it is allowed; the
    /// condition, guardrail or exemption that stood in the way; none when it is denied for want of a rule.
    pub fn rule(&self, verdict: &Verdict, to: WorkloadIx) -> Option<&Position> {
        if let Some(obstacle) = &verdict.obstacle {
            return match obstacle.what {
                Which::Rule(rule) => self.rule_at(rule).map(|rule| &rule.at),
                Which::Guardrail(index) => self.guardrails.get(index as usize).map(|it| &it.at),
            };
        }
        match verdict.reason {
            Reason::Allowed => self.rule_at(verdict.initiate).map(|rule| &rule.at),
            Reason::ExemptionLapsed => self
                .facts
                .get(to.index as usize)?
                .lapse
                .as_ref()
                .map(|lapse| &lapse.at),
            _ => None,
        }
    }
}

/// What softens a workload's policy at this time.
pub(crate) fn soft_at(facts: &Facts, now: Timestamp) -> Option<Soft> {
    facts.soft.filter(|soft| soft.from <= now && now < soft.end)
}

/// Whether one pattern has an operation.
fn matches(pattern: &Pattern, operation: Operation<'_>) -> bool {
    match (pattern, operation) {
        (Pattern::Connect, Operation::Connect) | (Pattern::Send, Operation::Send) => true,
        (Pattern::Http(pattern), Operation::Http { method, path }) => pattern.matches(method, path),
        (Pattern::Grpc(pattern), Operation::Grpc(call)) => {
            pattern.matches(GRPC_METHOD, call.path())
        }
        _ => false,
    }
}
