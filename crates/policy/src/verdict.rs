//! What is asked, and what is answered.

use jiff::Timestamp;
use ringfence_model::operation::Concrete;
use ringfence_model::resource::ModeKind;
use ringfence_model::{CanonicalPath, GRPC_METHOD, GrpcCall, Protocol};

use crate::condition::ConditionError;

/// One concrete operation, borrowed from what a reader parsed.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// The one operation of tcp, and of tls.
    Connect,
    /// The one operation of udp.
    Send,
    /// One call of gRPC.
    Grpc(&'a GrpcCall),
    /// One request, of HTTP/1.1 or HTTP/2.
    Http {
        /// As sent, case kept.
        method: &'a str,
        /// Without query, canonical under the receiver's allowances.
        path: &'a CanonicalPath,
    },
}

impl<'a> Operation<'a> {
    /// Whether it is an operation of this protocol.
    pub fn is_of(&self, protocol: Protocol) -> bool {
        match self {
            Self::Connect => matches!(protocol, Protocol::Tcp | Protocol::Tls),
            Self::Send => protocol == Protocol::Udp,
            Self::Grpc(_) => protocol == Protocol::Grpc,
            Self::Http { .. } => matches!(protocol, Protocol::Http | Protocol::Http2),
        }
    }

    /// Method and path of the request that it is; `None` of a protocol without requests.
    pub(crate) fn request(self) -> Option<(&'a str, &'a CanonicalPath)> {
        match self {
            Self::Http { method, path } => Some((method, path)),
            Self::Grpc(call) => Some((GRPC_METHOD, call.path())),
            Self::Connect | Self::Send => None,
        }
    }
}

impl<'a> From<&'a Concrete> for Operation<'a> {
    fn from(concrete: &'a Concrete) -> Self {
        match concrete {
            Concrete::Connect => Self::Connect,
            Concrete::Send => Self::Send,
            Concrete::Grpc(call) => Self::Grpc(call),
            Concrete::Http { method, path } => Self::Http { method, path },
        }
    }
}

/// Why a verdict is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Both ends allow it.
    Allowed,
    /// The initiator has no policy.
    InitiatorWithoutPolicy,
    /// The initiator's policy does not name the receiver.
    ReceiverNotNamed,
    /// The initiator's policy names the receiver, but not for this operation.
    OperationNotInitiated,
    /// The receiver is an agent without policy.
    ReceiverWithoutPolicy,
    /// The receiver's list does not name the initiator.
    InitiatorNotReceived,
    /// The receiver's list names the initiator, but not for this operation.
    OperationNotReceived,
    /// A rule matches, and its condition is false.
    ConditionFalse,
    /// A rule matches, and its condition cannot be evaluated.
    ConditionErrored,
    /// A rule, or a guardrail, matches, and nobody supplied what its condition needs.
    ConditionUnknown,
    /// A rule matches, and its time has ended.
    RuleEnded,
    /// A guardrail forbids it.
    Guardrail,
    /// A guardrail is about it, and its condition cannot be evaluated.
    GuardrailErrored,
    /// Each end agrees to something, but to nothing that the other agrees to.
    NothingInCommon,
    /// The receiver serves nothing.
    NothingServed,
    /// Not an operation of what the receiver speaks.
    OtherProtocol,
    /// Both ends allow it, but the receiver's exemption from mutual authentication has ended.
    ExemptionLapsed,
    /// The workload is not of this snapshot.
    Unknown,
}

impl Reason {
    /// A few fixed words, for records that are made often. [`Snapshot::explain`](crate::Snapshot::explain) says more.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed by both ends",
            Self::InitiatorWithoutPolicy => "the initiator has no policy",
            Self::ReceiverNotNamed => "the initiator's policy does not name the receiver",
            Self::OperationNotInitiated => "the initiator's policy does not name the operation",
            Self::ReceiverWithoutPolicy => "the receiver has no policy",
            Self::InitiatorNotReceived => "the receiver does not name the initiator",
            Self::OperationNotReceived => "the receiver does not name the operation",
            Self::ConditionFalse => "the condition of the rule is false",
            Self::ConditionErrored => "the condition of the rule cannot be evaluated",
            Self::ConditionUnknown => "the condition needs what is not known",
            Self::RuleEnded => "the rule has ended",
            Self::Guardrail => "a guardrail forbids it",
            Self::GuardrailErrored => "the condition of a guardrail cannot be evaluated",
            Self::NothingInCommon => "no operation is allowed by both ends",
            Self::NothingServed => "the receiver serves nothing",
            Self::OtherProtocol => "the receiver speaks another protocol",
            Self::ExemptionLapsed => {
                "the receiver's exemption from mutual authentication has ended"
            }
            Self::Unknown => "the workload is not known to this generation",
        }
    }
}

/// Whether an operation passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ruled {
    /// It passes.
    Allow,
    /// A policy that only learns or is tried refuses it, and nothing else does: it passes.
    WouldDeny,
    /// It does not pass.
    Deny,
}

impl Ruled {
    /// As records and answers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::WouldDeny => "would-deny",
            Self::Deny => "deny",
        }
    }
}

/// When a verdict may become another one in the same generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recheck {
    /// At this time: a rule, a mode or an exemption ends.
    pub at: Option<Timestamp>,
    /// At any time: it rests on a condition that reads the clock.
    pub volatile: bool,
}

impl Recheck {
    pub(crate) const NEVER: Self = Self {
        at: None,
        volatile: false,
    };

    /// Whether it may at all.
    pub fn is_due(self) -> bool {
        self != Self::NEVER
    }

    pub(crate) fn at(at: Option<Timestamp>) -> Self {
        Self {
            at,
            volatile: false,
        }
    }

    /// The earlier of the two.
    pub fn and(self, other: Self) -> Self {
        Self {
            at: [self.at, other.at].into_iter().flatten().min(),
            volatile: self.volatile || other.volatile,
        }
    }
}

/// The answer. Only a [`Snapshot`](crate::Snapshot) makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub(crate) ruled: Ruled,
    pub(crate) reason: Reason,
    /// The initiator's rule that matched.
    pub(crate) initiate: RuleRef,
    /// The receiver's rule that matched; none where it takes whoever names it.
    pub(crate) receive: RuleRef,
    /// What stood in the way, where that is more than `reason` says.
    pub(crate) obstacle: Option<Box<Obstacle>>,
    /// Mode of the policy that the verdict rests on.
    pub(crate) mode: ModeKind,
    pub(crate) recheck: Recheck,
}

/// A rule or a guardrail that stood in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) what: Which,
    /// What its condition came to.
    pub(crate) error: Option<ConditionError>,
}

/// Which rule or guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Rule(RuleRef),
    Guardrail(u32),
}

/// A rule of one snapshot, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuleRef(u32);

impl RuleRef {
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn new(index: u32) -> Self {
        Self(index)
    }

    pub(crate) fn index(self) -> Option<usize> {
        (self != Self::NONE).then_some(self.0 as usize)
    }
}

impl Verdict {
    pub(crate) fn deny(reason: Reason) -> Self {
        Self {
            ruled: Ruled::Deny,
            reason,
            initiate: RuleRef::NONE,
            receive: RuleRef::NONE,
            obstacle: None,
            mode: ModeKind::Enforce,
            recheck: Recheck::NEVER,
        }
    }

    /// Whether it may pass: allowed, or refused by a policy that only learns or is tried.
    pub fn is_allowed(&self) -> bool {
        self.ruled != Ruled::Deny
    }

    /// What becomes of it.
    pub fn ruled(&self) -> Ruled {
        self.ruled
    }

    /// Why; of one that would be denied, why it would.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// When to ask again.
    pub fn recheck(&self) -> Recheck {
        self.recheck
    }

    /// The mode of the policy it rests on.
    pub fn mode(&self) -> ModeKind {
        self.mode
    }
}
