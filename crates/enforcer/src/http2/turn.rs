//! How much a connection does before others get their turn.

use std::time::Instant;

use super::limits::{FRAMES_PER_TURN, TURN_TIME};

/// What counts as much in all is handled between two looks at the clock.
const LOOK: usize = 16;

/// One turn: over when so much was done, or so much time has passed. Frames cost what they like: which of them are dear
/// depends on policy, and on who wrote them.
#[derive(Debug)]
pub(super) struct Turn {
    left: usize,
    unlooked: usize,
    until: Instant,
}

impl Turn {
    /// One that begins `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: FRAMES_PER_TURN,
            unlooked: 0,
            until: now + TURN_TIME,
        }
    }

    /// Something is done that counts `weight`.
    pub(super) fn spend(&mut self, weight: usize) {
        self.left = self.left.saturating_sub(weight);
        self.unlooked += weight;
        if self.unlooked >= LOOK {
            self.look();
        }
    }

    /// Looks at the clock.
    pub(super) fn look(&mut self) {
        self.unlooked = 0;
        if Instant::now() >= self.until {
            self.left = 0;
        }
    }

    /// Whether others come first now.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }
}
