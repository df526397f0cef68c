//! The flows of one compartment, and what waits in them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_model::OriginalDst;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::limits::{FLOW_QUEUE, QUEUED_BYTES, QUEUED_EACH};
use crate::compartment::Compartment;

/// What tells one flow of a compartment from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The address and port the workload sends from.
    pub(crate) client: SocketAddr,
    /// Where it sends to, and where answers come from.
    pub(crate) original: OriginalDst,
}

/// The live flows of one compartment.
#[derive(Default)]
pub(crate) struct Flows {
    live: Mutex<HashMap<Key, Entry>>,
    /// Bytes that wait in all of them.
    waiting: Arc<AtomicUsize>,
}

struct Entry {
    queue: Sender<Datagram>,
    lost: Arc<AtomicU64>,
}

/// One datagram that waits, and the room it takes.
pub(crate) struct Datagram {
    /// As the client sent it.
    pub(super) payload: Vec<u8>,
    _room: Room,
}

/// Bytes of [`QUEUED_BYTES`], given back on drop.
struct Room {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Datagram {
    /// Bytes of it.
    pub(super) fn len(&self) -> u64 {
        self.payload.len() as u64
    }
}

/// A flow's end of its queue. While it lives, datagrams of its key come here.
pub(super) struct Mail {
    home: Arc<Compartment>,
    pub(super) key: Key,
    queue: Receiver<Datagram>,
    lost: Arc<AtomicU64>,
}

impl Flows {
    /// Gives a datagram to the flow it belongs to; `false` when there is none. One that finds no room is lost, and
    /// the flow knows how many were.
    pub(crate) fn offer(&self, key: Key, payload: &[u8]) -> bool {
        let live = self.live();
        let Some(entry) = live.get(&key) else {
            return false;
        };
        // A full queue is asked first: what cannot be kept is not copied.
        let kept = (entry.queue.capacity() > 0)
            .then(|| self.keep(payload))
            .flatten();
        let taken = kept.is_some_and(|datagram| entry.queue.try_send(datagram).is_ok());
        if !taken {
            entry.lost.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Copies a datagram, if there is room for it.
    pub(crate) fn keep(&self, payload: &[u8]) -> Option<Datagram> {
        let bytes = payload.len() + QUEUED_EACH;
        let fits = |waiting: usize| (waiting + bytes <= QUEUED_BYTES).then_some(waiting + bytes);
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .ok()?;
        Some(Datagram {
            payload: payload.to_vec(),
            _room: Room {
                bytes,
                of: Arc::clone(&self.waiting),
            },
        })
    }

    /// Enters a flow of `home`, with its first datagram.
    pub(super) fn begin(home: &Arc<Compartment>, key: Key, first: Datagram) -> Mail {
        let (queue, waiting) = mpsc::channel(FLOW_QUEUE);
        // Fresh and empty: it takes one.
        let _taken = queue.try_send(first);
        let lost = Arc::<AtomicU64>::default();
        let entry = Entry {
            queue,
            lost: Arc::clone(&lost),
        };
        home.flows.live().insert(key, entry);
        Mail {
            home: Arc::clone(home),
            key,
            queue: waiting,
            lost,
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.live().len()
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    /// The next datagram. May be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Datagram {
        match self.queue.recv().await {
            Some(datagram) => datagram,
            // The sender is in the table as long as this lives.
            None => std::future::pending().await,
        }
    }

    /// Strikes the flow out, unless something has come: from here on a datagram of its key begins a new one.
    pub(super) fn end_if_empty(&self) -> bool {
        let mut live = self.home.flows.live();
        let empty = self.queue.is_empty();
        if empty {
            live.remove(&self.key);
        }
        empty
    }

    /// Datagrams of the client that found no room.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        let mut live = self.home.flows.live();
        // It may be another's by now: `end_if_empty` struck this one out.
        let is_own = live
            .get(&self.key)
            .is_some_and(|entry| Arc::ptr_eq(&entry.lost, &self.lost));
        if is_own {
            live.remove(&self.key);
        }
    }
}
