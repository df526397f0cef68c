//! How much the relay of HTTP/2 holds, bears and waits for. What it reads is bounded in `wire`.

use std::time::Duration;

/// Streams of one connection at a time. One more is refused by `REFUSED_STREAM`.
pub(crate) const STREAMS: usize = 128;

/// Bytes of one direction of one stream that may be on their way to us: what is held of it at most.
pub(crate) const STREAM_WINDOW: u32 = 65_535;

/// Bytes of one direction of all streams of a connection that may be on their way to us, where the compartment has the
/// memory for it; 65,535, with which every connection begins, where it has not.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes waiting to be written to one side beyond which no more data is put behind them.
pub(crate) const OUT_SOFT: usize = 64 * 1024;

/// Bytes waiting to be written to either side beyond which nothing is read that could add to them.
pub(crate) const OUT_HARD: usize = 128 * 1024;

/// Frames handled, a KiB counting as one, before others get their turn.
pub(crate) const FRAMES_PER_TURN: usize = 256;

/// How long a turn may be, however little was handled in it.
pub(crate) const TURN_TIME: Duration = Duration::from_micros(100);

/// What a frame with a part of a header block counts in a turn: there is a decision behind it, and a record. So does every
/// 64 bytes of it, which can stand for as many fields.
pub(crate) const BLOCK_IN_TURN: usize = 32;

/// Frames of one side that do nothing (SETTINGS, PING, PRIORITY, empty DATA, unknown ones, and WINDOW_UPDATE beyond two for
/// each DATA frame sent to it) at once, and in a second in the long run. Over it: `ENHANCE_YOUR_CALM`, closed.
pub(crate) const IDLE_FRAMES_AT_ONCE: u32 = 1000;
/// See [`IDLE_FRAMES_AT_ONCE`].
pub(crate) const IDLE_FRAMES_PER_SECOND: u32 = 100;

/// Streams of one client that end in a reset before their answer is whole, by its word or for its fault, at once, and in a
/// second in the long run. Over it: `ENHANCE_YOUR_CALM`, closed.
pub(crate) const RESETS_AT_ONCE: u32 = 1000;
/// See [`RESETS_AT_ONCE`].
pub(crate) const RESETS_PER_SECOND: u32 = 33;

/// Streams that have ended and are remembered, to tell frames that crossed our reset from those that nobody may send.
pub(crate) const REMEMBERED: usize = 256;

/// How long a preface, a frame or a header block may take once it has begun; then the connection is closed.
pub(crate) const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection may stay open without a stream; then GOAWAY, and it is closed.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a dial may take, with the SETTINGS of the service; then 504.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a body may take that a condition asks for; then 408.
pub(crate) const EARLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a stream may go on without a frame in either direction; then 504, or it is reset.
pub(crate) const STREAM_STALL: Duration = Duration::from_secs(3600);

/// How long data of a stream may wait for a window to open; then the stream is reset, and what was held is freed.
pub(crate) const WINDOW_STALL: Duration = Duration::from_secs(300);

/// How long one side may take none of the bytes that wait for it; then the connection is closed.
pub(crate) const WRITE_STALL: Duration = Duration::from_secs(300);

/// Between two looks at these times.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// How long a closing connection is still read, so that the client sees why and not a reset.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(10);

/// The waits, so that tests can shorten them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) frame: Duration,
    pub(super) idle: Duration,
    pub(super) dial: Duration,
    pub(super) early: Duration,
    pub(super) stream: Duration,
    pub(super) window: Duration,
    pub(super) write: Duration,
    pub(super) tick: Duration,
    pub(super) linger: Duration,
}

impl Timeouts {
    /// What runs outside tests.
    pub(super) const STANDARD: Self = Self {
        frame: FRAME_TIMEOUT,
        idle: IDLE_TIMEOUT,
        dial: DIAL_TIMEOUT,
        early: EARLY_TIMEOUT,
        stream: STREAM_STALL,
        window: WINDOW_STALL,
        write: WRITE_STALL,
        tick: TICK,
        linger: LINGER_TIMEOUT,
    };
}
