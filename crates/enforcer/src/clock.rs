//! The time that decisions are made at, and those who wait for it to come.
//!
//! Rules end and begin at seconds of the wall clock, which people set and hosts suspend, so no timer of the runtime
//! can be trusted with them. One task looks at the clock once a second, wakes whoever waits for that second, and
//! everybody when the clock was set. Ten thousand idle connections under a rule that ends next year cost nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ringfence_policy::Recheck;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::inforce::Current;
use crate::limits::CLOCK_STEP;

/// The wall clock.
#[derive(Default)]
pub(crate) struct Clock {
    /// By second (Unix): gone, and thereby felt by those who hold the other end, when that has come.
    awaited: Mutex<BTreeMap<i64, watch::Sender<()>>>,
    #[cfg(test)]
    ahead: std::sync::atomic::AtomicI64,
}

impl Clock {
    /// The present.
    pub(crate) fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        #[cfg(test)]
        let now = {
            let ahead = self.ahead.load(std::sync::atomic::Ordering::SeqCst);
            now + jiff::SignedDuration::from_secs(ahead)
        };
        now
    }

    /// Sets the clock so many seconds ahead of the host's, as somebody with a watch would.
    #[cfg(test)]
    pub(crate) fn set_ahead(&self, seconds: i64) {
        self.ahead
            .store(seconds, std::sync::atomic::Ordering::SeqCst);
    }

    /// Resolves within about a second after `due` has come, or of now if it has come already; never without a time.
    pub(crate) async fn reached(&self, due: Recheck) {
        let Some(mut coming) = self.wait_for(due) else {
            return std::future::pending().await;
        };
        // Nothing is ever sent: the end of the sender is the news.
        let _its_end = coming.changed().await;
    }

    fn wait_for(&self, due: Recheck) -> Option<watch::Receiver<()>> {
        if !due.is_due() {
            return None;
        }
        let next = self.now().as_second() + 1;
        let at = due.at.map(|at| match at.subsec_nanosecond() {
            1.. => at.as_second() + 1,
            _ => at.as_second(),
        });
        let at = if due.volatile {
            Some(at.map_or(next, |at| at.min(next)))
        } else {
            at
        };
        let second = at?;
        Some(self.awaited().entry(second).or_default().subscribe())
    }

    /// Looks at the clock for as long as the enforcer lives.
    pub(crate) async fn run(&self, current: &Current) -> Infallible {
        let mut before = (Instant::now(), self.now());
        loop {
            let past = u64::try_from(self.now().subsec_nanosecond()).unwrap_or(0);
            sleep(Duration::from_secs(1) - Duration::from_nanos(past.min(999_999_999))).await;
            let now = (Instant::now(), self.now());
            self.wake(now.1);
            if is_step(now.0 - before.0, before.1, now.1) {
                current.recheck();
            }
            before = now;
        }
    }

    /// Wakes who waits for a second up to `now`.
    fn wake(&self, now: Timestamp) {
        let mut awaited = self.awaited();
        let later = awaited.split_off(&(now.as_second() + 1));
        *awaited = later;
        awaited.retain(|_, second| second.receiver_count() > 0);
    }

    fn awaited(&self) -> MutexGuard<'_, BTreeMap<i64, watch::Sender<()>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the clock was set between two looks that were `apart`.
fn is_step(apart: Duration, before: Timestamp, after: Timestamp) -> bool {
    let told = after.duration_since(before).as_millis_f64() - apart.as_secs_f64() * 1000.0;
    told.abs() >= CLOCK_STEP.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(4);
    const A_WHILE: Duration = Duration::from_millis(1300);

    fn running() -> (Arc<Clock>, Arc<Current>) {
        let (clock, current) = (Arc::new(Clock::default()), Arc::new(Current::new()));
        let (this, news) = (Arc::clone(&clock), Arc::clone(&current));
        tokio::spawn(async move { this.run(&news).await });
        (clock, current)
    }

    fn at(at: Timestamp) -> Recheck {
        Recheck {
            at: Some(at),
            volatile: false,
        }
    }

    #[tokio::test]
    async fn wakes_when_the_second_has_come_and_not_before() {
        let (clock, _current) = running();
        let when = Timestamp::now() + jiff::SignedDuration::from_millis(1500);
        timeout(SOON, clock.reached(at(when))).await.unwrap();
        assert!(Timestamp::now() >= when);
        // What has come already is not waited for for long.
        timeout(SOON, clock.reached(at(when))).await.unwrap();
        timeout(
            SOON,
            clock.reached(Recheck {
                at: None,
                volatile: true,
            }),
        )
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn sleeps_without_an_end_and_until_a_far_one() {
        let (clock, _current) = running();
        let far = Timestamp::now() + jiff::SignedDuration::from_hours(24);
        assert!(
            timeout(A_WHILE, clock.reached(Recheck::default()))
                .await
                .is_err()
        );
        assert!(timeout(A_WHILE, clock.reached(at(far))).await.is_err());
        // Nobody waits for it any more, so nothing is kept.
        tokio::time::sleep(A_WHILE).await;
        assert!(clock.awaited().is_empty());
    }

    #[tokio::test]
    async fn a_clock_that_is_set_wakes_everybody() {
        let (clock, current) = running();
        for ahead in [3600, 0] {
            let mut news = current.subscribe();
            assert!(timeout(A_WHILE, news.changed()).await.is_err());
            clock.set_ahead(ahead);
            timeout(SOON, news.changed()).await.unwrap().unwrap();
        }
        let far = Timestamp::now() + jiff::SignedDuration::from_hours(24);
        let waiting = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move { clock.reached(at(far)).await }
        });
        tokio::task::yield_now().await;
        clock.set_ahead(90_000);
        timeout(SOON, waiting).await.unwrap().unwrap();
    }
}
