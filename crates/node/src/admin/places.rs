//! Places of operators at `admin.sock`. There are so many, and whoever says nothing gives way to whoever comes: a program
//! that opens connections without end does not keep operators from asking.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::limits::ADMIN_CONNECTIONS;

/// All of them.
#[derive(Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// Those who have said nothing yet, the oldest first, and how they are told to go.
    silent: VecDeque<(u64, oneshot::Sender<()>)>,
    asked: usize,
    given: u64,
}

/// One of them, given back when dropped.
pub(super) struct Place {
    of: Arc<Places>,
    number: u64,
    asked: bool,
}

impl Places {
    /// A place for one more, and what says when it has to go. `None`: all others have asked already.
    pub(super) fn enter(places: &Arc<Self>) -> Option<(Place, oneshot::Receiver<()>)> {
        let mut taken = places.taken();
        if taken.silent.len() + taken.asked >= ADMIN_CONNECTIONS {
            let (_, oldest) = taken.silent.pop_front()?;
            // It may have ended in this moment.
            let _ = oldest.send(());
        }
        taken.given += 1;
        let number = taken.given;
        let (stays, displaced) = oneshot::channel();
        taken.silent.push_back((number, stays));
        let place = Place {
            of: Arc::clone(places),
            number,
            asked: false,
        };
        Some((place, displaced))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// It has said something: it stays until that is answered.
    pub(super) fn asked(&mut self) {
        let mut taken = self.of.taken();
        let at = taken.silent.iter().position(|(of, _)| *of == self.number);
        // One that was displaced in this moment is on its way out.
        if let Some(at) = at {
            taken.silent.remove(at);
            taken.asked += 1;
            self.asked = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        if self.asked {
            taken.asked -= 1;
        } else {
            taken.silent.retain(|(of, _)| *of != self.number);
        }
    }
}
