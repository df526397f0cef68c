//! A listener that stays: whatever may end a connection is listened for from its first check to its last.
//!
//! Whoever waits for news stands in a list for each kind of it, behind a lock. A request that enters three lists and leaves
//! them again, before it comes and while it is under way, pays more for that than for its decision. Here a connection stands in
//! each list once. Its listener is woken by a bell of its own, so that to ask whether there was news is to look at a flag.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::connection::Connection;
use crate::far::Far;

/// The listener of one connection.
pub(crate) struct Vigil {
    /// Resolves at the first news. `None`: nobody listens.
    ears: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The far end is listened to as well.
    hears_far: bool,
    /// How often there was news.
    heard: u64,
    bell: Arc<Bell>,
    /// The bell, as those see it who ring.
    rope: Waker,
    /// Whom the bell wakes.
    told: Option<Waker>,
}

/// Rings when there is news.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    wakes: Mutex<Option<Waker>>,
}

impl Bell {
    fn wakes(&self) -> MutexGuard<'_, Option<Waker>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let wakes = self.wakes().clone();
        if let Some(task) = wakes {
            task.wake();
        }
    }
}

impl Default for Vigil {
    fn default() -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            ears: None,
            hears_far: false,
            heard: 0,
            rope: Waker::from(Arc::clone(&bell)),
            bell,
            told: None,
        }
    }
}

impl Vigil {
    /// Listens from here on, if it did not; gives a mark for [`Vigil::poll`]. What is checked *afterwards* cannot change
    /// without being heard.
    pub(crate) fn listen(&mut self, connection: &Connection) -> u64 {
        let far = connection.far().and_then(Far::compartment);
        if self.ears.is_some() && self.hears_far == far.is_some() {
            return self.heard;
        }
        let mut news = connection.node().current.subscribe();
        let mut home = connection.home().departure();
        let mut far = far.map(|far| far.departure());
        self.hears_far = far.is_some();
        self.ears = Some(Box::pin(async move {
            let far = async {
                match &mut far {
                    Some(far) => drop(far.changed().await),
                    None => pending().await,
                }
            };
            // None of the senders can be gone: the connection holds them all.
            tokio::select! {
                biased;
                _ = news.changed() => {}
                _ = home.changed() => {}
                () = far => {}
            }
        }));
        // It stands in no list before it is polled; and what was heard by nobody yet goes with the one before it.
        self.bell.rung.store(true, Ordering::Release);
        self.heard += 1;
        self.heard
    }

    /// Ready when there was news since `mark` was given.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, mark: u64) -> Poll<()> {
        if self.heard != mark {
            return Poll::Ready(());
        }
        // Before the look at the bell: whoever rings between the two wakes the right one.
        if !self
            .told
            .as_ref()
            .is_some_and(|told| told.will_wake(cx.waker()))
        {
            *self.bell.wakes() = Some(cx.waker().clone());
            self.told = Some(cx.waker().clone());
        }
        // A look costs less than taking it, and mostly there is nothing to take.
        if !self.bell.rung.load(Ordering::Acquire) || !self.bell.rung.swap(false, Ordering::AcqRel)
        {
            return Poll::Pending;
        }
        let heard = match &mut self.ears {
            Some(ears) => ears.as_mut().poll(&mut Context::from_waker(&self.rope)),
            None => Poll::Ready(()),
        };
        if heard.is_ready() {
            self.ears = None;
            self.heard += 1;
        }
        heard
    }
}
