//! How much of something a peer may do that costs us more than it, or brings nobody anything.

use std::time::Instant;

/// So many at once, and so many a second in the long run. While there are some left, no clock is read.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    at_once: u32,
    per_second: u32,
    filled: Instant,
}

impl Budget {
    pub(super) fn new(at_once: u32, per_second: u32) -> Self {
        Self {
            left: at_once,
            at_once,
            per_second,
            filled: Instant::now(),
        }
    }

    /// Takes one; whether there was one.
    pub(super) fn spend(&mut self) -> bool {
        if self.left == 0 {
            self.fill(Instant::now());
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Gives `count`, for what is expected in return of something of ours.
    pub(super) fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.at_once);
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        let more = passed.as_millis() * u128::from(self.per_second) / 1000;
        if more > 0 {
            self.filled = now;
            self.earn(u32::try_from(more).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn gives_so_many_at_once_and_more_with_time() {
        let mut budget = Budget::new(3, 10);
        assert_eq!((0..5).filter(|_| budget.spend()).count(), 3);
        budget.fill(budget.filled + Duration::from_millis(99));
        assert_eq!(budget.left, 0, "not a whole one yet");
        budget.fill(budget.filled + Duration::from_millis(200));
        assert_eq!(budget.left, 2);
        budget.fill(budget.filled + Duration::from_secs(3600));
        assert_eq!(budget.left, 3, "no more than at once");
        assert!(budget.spend());
        budget.earn(7);
        assert_eq!(budget.left, 3);
    }
}
