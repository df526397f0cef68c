//! What is asked, and what is answered.

use ringfence_model::operation::Concrete;
use ringfence_model::{CanonicalPath, Protocol};

/// One concrete operation, borrowed from what a reader parsed.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// The one operation of tcp.
    Connect,
    /// The one operation of udp.
    Send,
    /// One request.
    Http {
        /// As sent, case kept.
        method: &'a str,
        /// Without query, canonical under the receiver's allowances.
        path: &'a CanonicalPath,
    },
}

impl Operation<'_> {
    /// Whose operation it is.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Connect => Protocol::Tcp,
            Self::Send => Protocol::Udp,
            Self::Http { .. } => Protocol::Http,
        }
    }
}

impl<'a> From<&'a Concrete> for Operation<'a> {
    fn from(concrete: &'a Concrete) -> Self {
        match concrete {
            Concrete::Connect => Self::Connect,
            Concrete::Send => Self::Send,
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

/// The answer. Only a [`Snapshot`](crate::Snapshot) makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub(crate) reason: Reason,
    /// The initiator's rule that matched.
    pub(crate) initiate: RuleRef,
    /// The receiver's rule that matched; none where it takes whoever names it.
    pub(crate) receive: RuleRef,
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
            reason,
            initiate: RuleRef::NONE,
            receive: RuleRef::NONE,
        }
    }

    /// Whether it may pass.
    pub fn is_allowed(&self) -> bool {
        self.reason == Reason::Allowed
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }
}
