//! How long a flow lives without a datagram, and how much of it waits.

use std::time::Duration;

/// Time without a datagram after which a flow ends, until it has proved to be a conversation.
pub(crate) const FRESH_IDLE: Duration = Duration::from_secs(30);

/// The same, once it has been answered and is still in use [`SETTLED_AFTER`] its beginning. A question with its answer
/// is over long before; what goes on after it is worth keeping (as Linux's connection tracking has it).
pub(crate) const SETTLED_IDLE: Duration = Duration::from_secs(120);

/// Age from which an answered flow counts as a conversation.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// How long a datagram is kept after it was sent, in case that word comes back that nobody listens there.
pub(crate) const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// Datagrams of one flow that wait to be sent on, while its receiver is looked for. A further one is dropped and counted.
pub(crate) const FLOW_QUEUE: usize = 64;

/// Bytes of datagrams that wait in all flows of one compartment. A further one is dropped and counted; one that would
/// begin a flow is refused and recorded.
pub(crate) const QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// What a waiting datagram counts beyond its payload, in bytes.
pub(crate) const QUEUED_EACH: usize = 128;

/// The waits, so that tests can shorten them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) fresh: Duration,
    pub(crate) settled: Duration,
    pub(crate) settled_after: Duration,
    pub(crate) refusal: Duration,
}

impl Timeouts {
    /// What runs outside tests.
    pub(crate) const STANDARD: Self = Self {
        fresh: FRESH_IDLE,
        settled: SETTLED_IDLE,
        settled_after: SETTLED_AFTER,
        refusal: REFUSAL_WAIT,
    };
}
