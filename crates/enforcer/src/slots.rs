//! How many connections there may be: counted when one begins, given back when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A number of places.
pub(crate) struct Slots {
    limit: usize,
    taken: AtomicUsize,
    emptied: Notify,
}

/// One place, given back on drop.
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    /// `limit` places, all free.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicUsize::new(0),
            emptied: Notify::new(),
        })
    }

    /// One of them; `None` when all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        self.take_of_rest(0)
    }

    /// One of them for somebody who has `own` already: only while that is fewer than are left, so that nobody, and no
    /// number of them together, can take the last.
    pub(crate) fn take_of_rest(self: &Arc<Self>, own: usize) -> Option<Slot> {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                let rest = self.limit.saturating_sub(taken);
                (own < rest).then_some(taken + 1)
            })
            .ok()
            .map(|_| Slot(Arc::clone(self)))
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// How many there are.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Resolves when none is taken.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            let mut emptied = std::pin::pin!(emptied);
            // Enrolled before the look, so that the last one to leave wakes us.
            emptied.as_mut().enable();
            if self.taken() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_no_more_than_there_are_and_takes_them_back() {
        let slots = Slots::new(2);
        let first = slots.take().unwrap();
        let _second = slots.take().unwrap();
        assert!(slots.take().is_none());
        assert_eq!(slots.taken(), 2);
        drop(first);
        assert!(slots.take().is_some());
        assert_eq!(slots.taken(), 1);
    }

    #[tokio::test]
    async fn tells_when_the_last_has_gone() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take().unwrap(), slots.take().unwrap());
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.emptied().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
