//! Turns: so that a compartment with thousands of busy connections gets no more of the worker threads than one with few.
//!
//! The runtime gives every task that is ready one turn after another, whoever it belongs to: with a task for each
//! connection, who has more connections has more of every thread, and whoever has one waits for all of them. Here a
//! compartment has a few places in the runtime's queue ([`TURNS_PER_COMPARTMENT`](crate::limits::TURNS_PER_COMPARTMENT)).
//! Its connections take them in the order in which they became ready; the rest wait in a queue of the compartment's own,
//! which costs nobody else anything. How long one turn may be is bounded where the work is done: `relay.rs`,
//! `http/pump.rs`, `http/session.rs`, `http2/turn.rs`.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The places of one compartment.
pub(crate) struct Turns {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Members that the runtime knows to be ready, or that run.
    taken: usize,
    /// Those that are ready and have no place.
    waiting: VecDeque<Arc<Member>>,
}

/// One task that takes turns. Being its waker, it learns first when the task is ready.
struct Member {
    turns: Arc<Turns>,
    /// A [`Place`]; changed under the lock of [`Turns`] only.
    place: AtomicU8,
    /// Wakes the task itself.
    task: Mutex<Option<Waker>>,
}

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Place {
    /// Nothing to do.
    Resting,
    /// Ready, in the queue of its compartment.
    Waiting,
    /// Ready, in the queue of the runtime.
    Called,
    /// Has its turn.
    Running,
    /// Has its turn, and became ready again meanwhile.
    Again,
    /// Over.
    Gone,
}

impl Place {
    fn of(number: u8) -> Self {
        [
            Self::Resting,
            Self::Waiting,
            Self::Called,
            Self::Running,
            Self::Again,
        ]
        .into_iter()
        .find(|place| *place as u8 == number)
        .unwrap_or(Self::Gone)
    }
}

impl Turns {
    /// With `limit` places.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            state: Mutex::default(),
        })
    }

    /// Runs `work` as a task that takes its turns here.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.within(work));
    }

    /// `work`, taking its turns here.
    fn within<W>(self: &Arc<Self>, work: W) -> impl Future<Output = ()> + Send + use<W>
    where
        W: Future<Output = ()> + Send,
    {
        let member = Membership(Arc::new(Member {
            turns: Arc::clone(self),
            place: AtomicU8::new(Place::Resting as u8),
            task: Mutex::default(),
        }));
        let waker = Waker::from(Arc::clone(&member.0));
        // On the heap, so that the task does not hold it twice.
        let mut work = Box::pin(work);
        poll_fn(move |cx| member.0.turn(cx, &waker, work.as_mut()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a place that became free to the one that has waited longest, which is to be woken without the lock.
    fn pass_on(&self, state: &mut State) -> Option<Arc<Member>> {
        match state.waiting.pop_front() {
            Some(next) => {
                next.put(Place::Called);
                Some(next)
            }
            None => {
                state.taken -= 1;
                None
            }
        }
    }
}

impl Member {
    fn place(&self) -> Place {
        Place::of(self.place.load(Ordering::Relaxed))
    }

    fn put(&self, place: Place) {
        self.place.store(place as u8, Ordering::Relaxed);
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) {
        let task = self.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// One turn, if there is a place for it.
    fn turn<W: Future<Output = ()>>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        waker: &Waker,
        work: Pin<&mut W>,
    ) -> Poll<()> {
        {
            let mut task = self.task();
            if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        if !self.begin() {
            return Poll::Pending;
        }
        let polled = work.poll(&mut Context::from_waker(waker));
        self.end(if polled.is_ready() {
            Place::Gone
        } else {
            Place::Resting
        });
        polled
    }

    /// Whether it may run now; otherwise it is called when it may.
    fn begin(self: &Arc<Self>) -> bool {
        let mut state = self.turns.state();
        match self.place() {
            Place::Called => {}
            // Its first turn, or one that nobody asked for.
            Place::Resting if state.taken < self.turns.limit => state.taken += 1,
            Place::Resting => {
                self.put(Place::Waiting);
                state.waiting.push_back(Arc::clone(self));
                return false;
            }
            Place::Waiting | Place::Running | Place::Again | Place::Gone => return false,
        }
        self.put(Place::Running);
        true
    }

    /// Leaves its place, for `after` unless it is ready again: then it waits like everybody.
    fn end(self: &Arc<Self>, after: Place) {
        let mut state = self.turns.state();
        if after != Place::Gone && self.place() == Place::Again {
            self.put(Place::Waiting);
            state.waiting.push_back(Arc::clone(self));
        } else {
            self.put(after);
        }
        let next = self.turns.pass_on(&mut state);
        drop(state);
        if let Some(next) = next {
            next.call();
        }
    }
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.turns.state();
        match self.place() {
            Place::Resting if state.taken < self.turns.limit => {
                state.taken += 1;
                self.put(Place::Called);
            }
            Place::Resting => {
                self.put(Place::Waiting);
                state.waiting.push_back(Arc::clone(self));
                return;
            }
            Place::Running => return self.put(Place::Again),
            Place::Waiting | Place::Called | Place::Again | Place::Gone => return,
        }
        drop(state);
        self.call();
    }
}

/// The task's own hold. However the task ends, its place does not end with it.
struct Membership(Arc<Member>);

impl Drop for Membership {
    fn drop(&mut self) {
        // The task is part of what it holds.
        let task = self.0.task().take();
        let mut state = self.0.turns.state();
        let before = self.0.place();
        self.0.put(Place::Gone);
        let next = match before {
            Place::Called | Place::Running | Place::Again => self.0.turns.pass_on(&mut state),
            Place::Waiting => {
                state.waiting.retain(|member| !Arc::ptr_eq(member, &self.0));
                None
            }
            Place::Resting | Place::Gone => None,
        };
        drop(state);
        drop(task);
        if let Some(next) = next {
            next.call();
        }
    }
}

#[cfg(test)]
mod tests;
