//! What records add up to, and which count.

/// A stretch of time, nanoseconds since the Unix epoch, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From this on.
    pub since_ns: u64,
    /// Before this; `None`: to the end.
    pub until_ns: Option<u64>,
}

impl Span {
    /// All of it.
    pub const ALL: Self = Self {
        since_ns: 0,
        until_ns: None,
    };

    /// Clocks are set, so each record is judged by itself.
    pub(crate) fn holds(self, time_ns: u64) -> bool {
        self.since_ns <= time_ns && self.until_ns.is_none_or(|until| time_ns < until)
    }
}

/// What records with the same words have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many records.
    pub records: u64,
    /// Their `count`.
    pub count: u64,
    /// Their `bytesSent`.
    pub bytes_sent: u64,
    /// Their `bytesReceived`.
    pub bytes_received: u64,
    /// The earliest of their times.
    pub first_ns: u64,
    /// The latest of their times.
    pub last_ns: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, [time, count, sent, received]: [u64; 4]) {
        self.first_ns = if self.records == 0 {
            time
        } else {
            self.first_ns.min(time)
        };
        self.last_ns = self.last_ns.max(time);
        self.records += 1;
        self.count = self.count.saturating_add(count);
        self.bytes_sent = self.bytes_sent.saturating_add(sent);
        self.bytes_received = self.bytes_received.saturating_add(received);
    }
}

/// What is added up, by name.
pub(crate) const ADDED: [&str; 4] = ["time", "count", "bytesSent", "bytesReceived"];
