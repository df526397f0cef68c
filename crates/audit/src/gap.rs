//! What the log could not take, kept until it can say so itself.

use std::io;
use std::time::{Duration, Instant};

use ringfence_model::flow::{Flow, Kind, Outcome};

use crate::leaf::wall_clock_ns;
use crate::writer::Purpose;
use crate::{CLOCK_SET_BACK, LogError, RECORDS_REFUSED, Seq};

/// How long the log refuses at once before it tries the disk again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Why the log takes nothing at the moment.
#[derive(Debug)]
pub(crate) struct Trouble {
    error: LogError,
    retry_at: Instant,
}

/// An event that the log writes about itself.
#[derive(Debug)]
struct Note {
    operation: &'static str,
    reason: String,
    /// Its time, where that is not now.
    time_ns: Option<u64>,
}

/// Records that were refused since the log last wrote one, and notes it owes its readers.
#[derive(Debug, Default)]
pub(crate) struct Gap {
    trouble: Option<Trouble>,
    /// Attempts denied without a record.
    denied: u64,
    /// Closes, denials and the like that went unrecorded.
    untold: u64,
    /// When the first of them was lost, and the latest cause.
    since: Option<Instant>,
    cause: String,
    /// What the log has to say of itself, oldest first.
    notes: Vec<Note>,
}

impl Gap {
    /// With notes about what was repaired when the log was opened.
    pub(crate) fn with_notes(notes: Vec<String>) -> Self {
        let mut gap = Self::default();
        for note in notes {
            gap.note(note);
        }
        gap
    }

    /// One more note about a repair.
    pub(crate) fn note(&mut self, reason: String) {
        self.notes.push(Note {
            operation: "flow log repaired",
            reason,
            time_ns: None,
        });
    }

    /// Records that stand in the log were refused.
    pub(crate) fn refuse(&mut self, from: Seq, before: Seq, error: &LogError) {
        self.notes.push(Note {
            operation: RECORDS_REFUSED,
            reason: format!(
                "records {from} to {} stand here and were refused, so the attempts among them were denied: {error}",
                before.0.saturating_sub(1)
            ),
            time_ns: None,
        });
    }

    /// A record is of `time_ns`, long before one of `latest_ns` that stands before it.
    pub(crate) fn clock_set_back(&mut self, time_ns: u64, latest_ns: u64) {
        let note = Note {
            operation: CLOCK_SET_BACK,
            reason: format!(
                "records from here on are {:.1} s older than one before",
                latest_ns.saturating_sub(time_ns) as f64 / 1e9
            ),
            time_ns: Some(time_ns),
        };
        // The others have the new time already.
        self.notes.insert(0, note);
    }

    pub(crate) fn trouble(&self) -> Option<&LogError> {
        self.trouble.as_ref().map(|trouble| &trouble.error)
    }

    /// Whether the trouble is only that there is no room, so that the reserve may be used.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.trouble(), Some(LogError::Full(_)))
    }

    pub(crate) fn may_retry(&self, now: Instant) -> bool {
        self.trouble
            .as_ref()
            .is_none_or(|trouble| now >= trouble.retry_at)
    }

    /// What was wrong may be mended.
    pub(crate) fn retry_now(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.retry_at = Instant::now();
        }
    }

    /// The log takes nothing from now on, because of `error`.
    pub(crate) fn enter(&mut self, error: &LogError, now: Instant) {
        self.trouble = Some(Trouble {
            error: again(error),
            retry_at: now + RETRY_AFTER,
        });
    }

    /// The log takes records again.
    pub(crate) fn leave(&mut self) {
        self.trouble = None;
    }

    /// A record that stands for `count` was refused because of `error`.
    pub(crate) fn lose(&mut self, purpose: Purpose, count: u64, error: &LogError, now: Instant) {
        let lost = match purpose {
            Purpose::Before => &mut self.denied,
            Purpose::After => &mut self.untold,
        };
        *lost = lost.saturating_add(count.max(1));
        self.since.get_or_insert(now);
        self.cause = error.to_string();
    }

    /// Whether there is anything to say.
    pub(crate) fn owes(&self) -> bool {
        self.since.is_some() || !self.notes.is_empty()
    }

    /// The next event that says it, for the node `node`, of the time `at_ns`; 0: of now. Forgotten only by [`Gap::said`].
    pub(crate) fn event(&self, node: &str, now: Instant, at_ns: u64) -> Option<Flow> {
        let mut time_ns = None;
        let (operation, reason, count) = if let Some(note) = self.notes.first() {
            time_ns = note.time_ns;
            (note.operation, note.reason.clone(), 1)
        } else {
            let since = self.since?;
            let reason = format!(
                "in the {:.3} s before this, {} attempts were denied without a record, and {} closes, denials \
                 or events went unrecorded: {}",
                now.saturating_duration_since(since).as_secs_f64(),
                self.denied,
                self.untold,
                self.cause
            );
            (
                "unrecorded denials",
                reason,
                self.denied.saturating_add(self.untold),
            )
        };
        Some(Flow {
            schema: 1,
            time_ns: match time_ns.unwrap_or(at_ns) {
                0 => wall_clock_ns(),
                at_ns => at_ns,
            },
            node: node.to_owned(),
            kind: Kind::Event.into(),
            count,
            operation: operation.to_owned(),
            outcome: Outcome::Error.into(),
            reason,
            ..Flow::default()
        })
    }

    /// The event that [`Gap::event`] gave is in the log.
    pub(crate) fn said(&mut self) {
        if self.notes.is_empty() {
            self.denied = 0;
            self.untold = 0;
            self.since = None;
            self.cause.clear();
        } else {
            self.notes.remove(0);
        }
    }
}

/// The same error once more, for the next caller.
pub(crate) fn again(error: &LogError) -> LogError {
    match error {
        LogError::Full(what) => LogError::Full(what.clone()),
        LogError::Tampered(what) => LogError::Tampered(what.clone()),
        LogError::TooLarge(bytes) => LogError::TooLarge(*bytes),
        LogError::Io(cause) => LogError::Io(io::Error::new(cause.kind(), cause.to_string())),
        other => LogError::Io(io::Error::other(other.to_string())),
    }
}
