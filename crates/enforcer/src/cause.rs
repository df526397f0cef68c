//! Why an attempt was decided as it was, in a fixed word: what monitors count by.
//!
//! Records hold whole sentences. A word here is one of a known few, whatever a workload does.

use ringfence_policy::Reason;

/// One of the fixed words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// None of the others.
    #[default]
    Other,
    /// Both ends allow it, or it is the enforcer's own business.
    Allowed,
    /// [`Reason::InitiatorWithoutPolicy`].
    InitiatorWithoutPolicy,
    /// [`Reason::ReceiverNotNamed`].
    ReceiverNotNamed,
    /// [`Reason::OperationNotInitiated`].
    OperationNotInitiated,
    /// [`Reason::ReceiverWithoutPolicy`].
    ReceiverWithoutPolicy,
    /// [`Reason::InitiatorNotReceived`].
    InitiatorNotReceived,
    /// [`Reason::OperationNotReceived`].
    OperationNotReceived,
    /// [`Reason::NothingInCommon`].
    NothingInCommon,
    /// [`Reason::NothingServed`].
    NothingServed,
    /// [`Reason::OtherProtocol`].
    OtherProtocol,
    /// [`Reason::ExemptionLapsed`].
    ExemptionLapsed,
    /// [`Reason::ConditionFalse`].
    ConditionFalse,
    /// [`Reason::ConditionErrored`].
    ConditionErrored,
    /// [`Reason::ConditionUnknown`].
    ConditionUnknown,
    /// [`Reason::RuleEnded`].
    RuleEnded,
    /// [`Reason::Guardrail`].
    Guardrail,
    /// [`Reason::GuardrailErrored`].
    GuardrailErrored,
    /// The source, or either end, is not in the estate.
    NotInEstate,
    /// No workload has the address.
    UnknownDestination,
    /// The destination declares no such port.
    UndeclaredPort,
    /// One of the enforcer's own addresses.
    OwnDoor,
    /// No workload answers to the name.
    UnknownName,
    /// It could not be read, or had a form that is refused.
    Malformed,
    /// A bound was reached.
    Limit,
    /// Nobody is there who could serve it.
    NotRunning,
    /// A wall of the compartment refused it.
    Wall,
    /// It was reset while no enforcer was there.
    EnforcerAway,
    /// Either end is quarantined.
    Quarantined,
}

/// Every cause, in the order of their numbers.
pub(crate) const CAUSES: [Cause; 29] = [
    Cause::Other,
    Cause::Allowed,
    Cause::InitiatorWithoutPolicy,
    Cause::ReceiverNotNamed,
    Cause::OperationNotInitiated,
    Cause::ReceiverWithoutPolicy,
    Cause::InitiatorNotReceived,
    Cause::OperationNotReceived,
    Cause::NothingInCommon,
    Cause::NothingServed,
    Cause::OtherProtocol,
    Cause::ExemptionLapsed,
    Cause::ConditionFalse,
    Cause::ConditionErrored,
    Cause::ConditionUnknown,
    Cause::RuleEnded,
    Cause::Guardrail,
    Cause::GuardrailErrored,
    Cause::NotInEstate,
    Cause::UnknownDestination,
    Cause::UndeclaredPort,
    Cause::OwnDoor,
    Cause::UnknownName,
    Cause::Malformed,
    Cause::Limit,
    Cause::NotRunning,
    Cause::Wall,
    Cause::EnforcerAway,
    Cause::Quarantined,
];

impl Cause {
    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Allowed => "allowed",
            Self::InitiatorWithoutPolicy => "initiator-without-policy",
            Self::ReceiverNotNamed => "receiver-not-named",
            Self::OperationNotInitiated => "operation-not-initiated",
            Self::ReceiverWithoutPolicy => "receiver-without-policy",
            Self::InitiatorNotReceived => "initiator-not-received",
            Self::OperationNotReceived => "operation-not-received",
            Self::NothingInCommon => "nothing-in-common",
            Self::NothingServed => "nothing-served",
            Self::OtherProtocol => "other-protocol",
            Self::ExemptionLapsed => "exemption-lapsed",
            Self::ConditionFalse => "condition-false",
            Self::ConditionErrored => "condition-errored",
            Self::ConditionUnknown => "condition-unknown",
            Self::RuleEnded => "rule-ended",
            Self::Guardrail => "guardrail",
            Self::GuardrailErrored => "guardrail-errored",
            Self::NotInEstate => "not-in-estate",
            Self::UnknownDestination => "unknown-destination",
            Self::UndeclaredPort => "undeclared-port",
            Self::OwnDoor => "own-door",
            Self::UnknownName => "unknown-name",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::NotRunning => "not-running",
            Self::Wall => "wall",
            Self::EnforcerAway => "enforcer-away",
            Self::Quarantined => "quarantined",
        }
    }
}

impl From<Reason> for Cause {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Allowed => Self::Allowed,
            Reason::InitiatorWithoutPolicy => Self::InitiatorWithoutPolicy,
            Reason::ReceiverNotNamed => Self::ReceiverNotNamed,
            Reason::OperationNotInitiated => Self::OperationNotInitiated,
            Reason::ReceiverWithoutPolicy => Self::ReceiverWithoutPolicy,
            Reason::InitiatorNotReceived => Self::InitiatorNotReceived,
            Reason::OperationNotReceived => Self::OperationNotReceived,
            Reason::NothingInCommon => Self::NothingInCommon,
            Reason::NothingServed => Self::NothingServed,
            Reason::OtherProtocol => Self::OtherProtocol,
            Reason::ExemptionLapsed => Self::ExemptionLapsed,
            Reason::ConditionFalse => Self::ConditionFalse,
            Reason::ConditionErrored => Self::ConditionErrored,
            Reason::ConditionUnknown => Self::ConditionUnknown,
            Reason::RuleEnded => Self::RuleEnded,
            Reason::Guardrail => Self::Guardrail,
            Reason::GuardrailErrored => Self::GuardrailErrored,
            Reason::Unknown => Self::NotInEstate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_place_and_a_word_of_its_own() {
        let manual = include_str!("../../../docs/metrics.md");
        let mut words = std::collections::BTreeSet::new();
        for (place, cause) in CAUSES.into_iter().enumerate() {
            assert_eq!(cause as usize, place, "{cause:?}");
            assert!(words.insert(cause.word()), "{cause:?}");
            let named = format!("`{}`", cause.word());
            assert!(manual.contains(&named), "{named} is not in docs/metrics.md");
        }
        assert_eq!(Cause::Quarantined as usize + 1, CAUSES.len(), "the last");
    }
}
