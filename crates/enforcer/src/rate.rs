//! How often within a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Lets a number of things happen in each second, counted from the first.
pub(crate) struct Rate {
    limit: u32,
    second: Mutex<(Instant, u32)>,
}

impl Rate {
    /// `limit` a second.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            second: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Whether one more may happen now.
    pub(crate) fn allows(&self) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if second.0.elapsed() >= SECOND {
            *second = (Instant::now(), 0);
        }
        second.1 = second.1.saturating_add(1);
        second.1 <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_the_limit_and_starts_again() {
        let rate = Rate::new(3);
        assert_eq!((0..10).filter(|_| rate.allows()).count(), 3);
        rate.second.lock().unwrap().0 -= SECOND;
        assert!(rate.allows());
    }
}
