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
        self.take_beside(0)
    }

    /// One of them for somebody whose places here `own` counts, and one of `own`: only while what he has, as a part of
    /// all, is less than the square of the part that is free.
    ///
    /// One alone gets 38 %, and each further one less than the one before. If he could have as many as are left, he would
    /// halve them: a dozen who work together would take 4096. The square makes that 130, and in general twice the root of
    /// the number of places.
    pub(crate) fn share(self: &Arc<Self>, own: &Arc<Self>) -> Option<[Slot; 2]> {
        let of_own = own.take()?;
        let of_all = self.take_beside(own.taken() - 1)?;
        Some([of_all, of_own])
    }

    fn take_beside(self: &Arc<Self>, own: usize) -> Option<Slot> {
        // The square of any number of places fits.
        let wide = |number: usize| number as u128;
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                let rest = self.limit.saturating_sub(taken);
                (wide(own) * wide(self.limit) < wide(rest) * wide(rest)).then_some(taken + 1)
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

    #[test]
    fn many_who_work_together_leave_places_for_a_hundred_more() {
        let slots = Slots::new(4096);
        let mut kept = Vec::new();
        let mut fill = || {
            let own = Slots::new(usize::MAX);
            while let Some(places) = slots.share(&own) {
                kept.push(places);
            }
            own.taken()
        };
        assert_eq!(fill(), 1565);
        let crowd: Vec<usize> = (0..20).map(|_| fill()).collect();
        assert!(crowd.is_sorted_by(|a, b| a >= b), "{crowd:?}");
        let newcomers = (0..).take_while(|_| fill() > 0).count();
        assert!(newcomers >= 100, "{newcomers}");
        drop(kept);
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn a_share_of_places_without_end_is_without_end() {
        let (slots, own) = (Slots::new(usize::MAX), Slots::new(usize::MAX));
        let kept: Vec<_> = (0..10_000).map_while(|_| slots.share(&own)).collect();
        assert_eq!((kept.len(), own.taken()), (10_000, 10_000));
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
