//! How long the relay waits, and how much it holds.

use std::time::Duration;

/// Longest text, in bytes, handed to [`super::Gate::refuse_malformed`] as `what`; cut there.
pub(crate) const WHAT_MAX: usize = 256;

/// How long a request head may take from its first byte; then 408 and close.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a body may take that a condition asks for, from the end of its head; then 408 and close.
pub(crate) const EARLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest body, in bytes without its framing, that is read before its request is decided. With a longer one, the
/// conditions that ask for it are errors.
pub(crate) const EARLY_MAX: usize = 64 * 1024;

/// How long a connection may stay open between requests; then it is closed.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long all of a dial may take (a dialler with several endpoints bounds each by itself); then 504.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an exchange may go on without a byte in either direction; then 504, or the connection is cut.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long a client may take to accept an answer of ours, or to send the body of a refused request; then it is cut.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a closing connection is still read (and its bytes dropped), so that the client sees our answer and not a
/// reset; then it is closed all the same.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest declared body, in bytes, of a refused request that is skipped so that the connection lives on. After a
/// longer one, or one of unknown length, the connection is closed behind the answer.
pub(crate) const SKIP_MAX: u64 = 64 * 1024;

/// Interim responses (1xx) to one request; one more is a broken service, 502.
pub(crate) const INTERIM_MAX: u32 = 32;

/// Bytes of a buffer when it is first needed. Doubled whenever a read fills it.
pub(crate) const BUFFER_MIN: usize = 4 * 1024;

/// Bytes beyond which a buffer does not grow, and how much one direction holds before it stops reading.
pub(crate) const BUFFER_MAX: usize = 64 * 1024;

/// Empty buffers of [`BUFFER_MIN`] bytes that a worker thread keeps for the next connection that reads.
pub(crate) const SPARES: usize = 4;

/// What one direction of a body moves before others get their turn: a chunk of it counts as one, and so does every KiB
/// that is read.
pub(crate) const PUMP_TURN: usize = 256;

/// Bytes of a body that are copied behind a head, so that both leave in one packet.
pub(crate) const COALESCE_MAX: usize = 4 * 1024;

/// The waits, so that tests can shorten them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) head: Duration,
    pub(super) early: Duration,
    pub(super) idle: Duration,
    pub(super) dial: Duration,
    pub(super) stall: Duration,
    pub(super) answer: Duration,
    pub(super) linger: Duration,
}

impl Timeouts {
    /// What runs outside tests.
    pub(super) const STANDARD: Self = Self {
        head: HEAD_TIMEOUT,
        early: EARLY_TIMEOUT,
        idle: IDLE_TIMEOUT,
        dial: DIAL_TIMEOUT,
        stall: STALL_TIMEOUT,
        answer: ANSWER_TIMEOUT,
        linger: LINGER_TIMEOUT,
    };
}
