//! One timer for all that a connection waits for, one thing after another.
//!
//! A timer of the runtime's is put into a list and taken out of it under a lock. This one stays where it is when what is waited
//! for next is due later: it goes off early then, finds that nothing is due, and is set anew. A connection that takes a request
//! every now and then touches the list once in ten minutes, not several times a request.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// The timer.
#[derive(Debug)]
pub(super) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    /// Goes off at `first` or later.
    pub(super) fn at(first: Instant) -> Self {
        Self(Box::pin(sleep_until(first)))
    }

    /// Resolves at `deadline`.
    pub(super) async fn until(&mut self, deadline: Instant) {
        poll_fn(|cx| self.poll(cx, deadline)).await;
    }

    /// Ready from `deadline` on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.0.is_elapsed() || self.0.deadline() > deadline {
            self.0.as_mut().reset(deadline);
        }
        while self.0.as_mut().poll(cx).is_ready() {
            if self.0.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn goes_off_when_due_whatever_it_was_set_to_before() {
        let began = Instant::now();
        for (first, due) in [(SHORT, 3 * SHORT), (600 * SHORT, SHORT), (SHORT, SHORT)] {
            let before = Instant::now();
            let mut alarm = Alarm::at(before + first);
            alarm.until(before + due).await;
            assert!(before.elapsed() >= due);
            // And once more, after it has gone off.
            let again = Instant::now();
            alarm.until(again + SHORT).await;
            assert!(again.elapsed() >= SHORT);
            alarm.until(began).await;
        }
        assert!(began.elapsed() < 100 * SHORT, "the second was not moved up");
    }
}
