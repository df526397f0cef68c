//! Which connections and flows live, by who talks to whom: what a quarantine is about to cut, and when it has.
//!
//! Entered when an attempt is let in, before the check that lets its bytes move; struck out when its sockets are closed
//! and its last record is written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ringfence_compartment::link::{Peer, Spread, Touched};
use ringfence_model::Name;
use tokio::sync::Notify;

use crate::connection::Arrival;
use crate::limits::PEERS_TOLD;

/// All of them.
#[derive(Default)]
pub(crate) struct Live {
    // By caller and callee: as many entries as pairs talk at this moment.
    pairs: Mutex<HashMap<(Name, Name), Count>>,
    /// The last one of a pair has ended.
    ended: Notify,
    /// Whose ends are timed; nobody's, nearly always.
    timed: Mutex<Vec<Arc<Timed>>>,
}

/// The ends of those that some workloads are an end of, from a moment on.
pub(crate) struct Timed {
    names: Vec<Name>,
    began: Instant,
    took_ns: Mutex<Vec<u64>>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    connections: u64,
    flows: u64,
}

impl Count {
    fn of(&mut self, arrival: Arrival) -> &mut u64 {
        match arrival {
            Arrival::Connection => &mut self.connections,
            Arrival::Datagram => &mut self.flows,
        }
    }
}

/// One that lives, until dropped.
pub(crate) struct Lives {
    among: Arc<Live>,
    pair: (Name, Name),
    arrival: Arrival,
}

impl Live {
    /// One from `from` to `to`.
    pub(crate) fn enter(self: &Arc<Self>, from: &Name, to: &Name, arrival: Arrival) -> Lives {
        let pair = (from.clone(), to.clone());
        *self.pairs().entry(pair.clone()).or_default().of(arrival) += 1;
        Lives {
            among: Arc::clone(self),
            pair,
            arrival,
        }
    }

    /// Those that one of `names` is an end of.
    pub(crate) fn touched(&self, names: &[Name]) -> Touched {
        let mut touched = Touched::default();
        for ((from, to), count) in &*self.pairs() {
            if !names.contains(from) && !names.contains(to) {
                continue;
            }
            touched.connections += count.connections;
            touched.flows += count.flows;
            touched.peers.push(Peer {
                from: from.clone(),
                to: to.clone(),
                connections: count.connections,
                flows: count.flows,
            });
        }
        let many = |peer: &Peer| std::cmp::Reverse(peer.connections + peer.flows);
        touched
            .peers
            .sort_by(|a, b| (many(a), &a.from, &a.to).cmp(&(many(b), &b.from, &b.to)));
        touched.peers.truncate(PEERS_TOLD);
        touched
    }

    /// Resolves when none is left that one of `names` is an end of.
    pub(crate) async fn none_left(&self, names: &[Name]) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Enrolled before the look, so that the last one to end wakes us.
            ended.as_mut().enable();
            let mut pairs = self.pairs().keys().cloned().collect::<Vec<_>>();
            pairs.retain(|(from, to)| names.contains(from) || names.contains(to));
            if pairs.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Times the ends of those that one of `names` is an end of, until [`Live::spread`].
    pub(crate) fn time(&self, names: Vec<Name>) -> Arc<Timed> {
        let timed = Arc::new(Timed {
            names,
            began: Instant::now(),
            took_ns: Mutex::default(),
        });
        self.timed().push(Arc::clone(&timed));
        timed
    }

    /// What was timed.
    pub(crate) fn spread(&self, timed: &Arc<Timed>) -> Spread {
        self.timed().retain(|one| !Arc::ptr_eq(one, timed));
        let took = std::mem::take(&mut *timed.took_ns());
        Spread::of(took)
    }

    fn note_end(&self, (from, to): &(Name, Name)) {
        for timed in &*self.timed() {
            if timed.names.contains(from) || timed.names.contains(to) {
                let took = timed.began.elapsed().as_nanos();
                let took = u64::try_from(took).unwrap_or(u64::MAX);
                timed.took_ns().push(took);
            }
        }
    }

    fn timed(&self) -> MutexGuard<'_, Vec<Arc<Timed>>> {
        self.timed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<(Name, Name), Count>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timed {
    fn took_ns(&self) -> MutexGuard<'_, Vec<u64>> {
        self.took_ns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        self.among.note_end(&self.pair);
        let mut pairs = self.among.pairs();
        let Some(count) = pairs.get_mut(&self.pair) else {
            return;
        };
        let of = count.of(self.arrival);
        *of = of.saturating_sub(1);
        if count.connections + count.flows == 0 {
            pairs.remove(&self.pair);
            drop(pairs);
            self.among.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn so_many_pairs_are_told_of_and_all_are_counted() {
        let live = Arc::new(Live::default());
        let hub = name("hub");
        let peers: Vec<Name> = (0..=PEERS_TOLD).map(|n| name(&format!("p{n}"))).collect();
        let mut held: Vec<Lives> = Vec::new();
        for peer in &peers {
            held.push(live.enter(peer, &hub, Arrival::Connection));
        }
        held.push(live.enter(&peers[PEERS_TOLD], &hub, Arrival::Connection));
        let touched = live.touched(std::slice::from_ref(&hub));
        assert_eq!(touched.peers.len(), PEERS_TOLD);
        assert_eq!(touched.connections, PEERS_TOLD as u64 + 2);
        // The most first: nobody who matters is among the rest.
        assert_eq!(
            (&touched.peers[0].from, touched.peers[0].connections),
            (&peers[PEERS_TOLD], 2)
        );
    }

    #[tokio::test]
    async fn tells_who_talks_to_whom_and_when_the_last_has_ended() {
        let live = Arc::new(Live::default());
        let datagram = Arrival::Datagram;
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let first = live.enter(&a, &b, Arrival::Connection);
        let second = live.enter(&b, &a, datagram);
        let other = live.enter(&b, &c, Arrival::Connection);
        let touched = live.touched(std::slice::from_ref(&a));
        assert_eq!((touched.connections, touched.flows), (1, 1));
        assert_eq!(touched.peers.len(), 2);
        assert_eq!(live.touched(&[name("d")]), Touched::default());
        let timed = live.time(vec![a.clone()]);
        let waiting = tokio::spawn({
            let live = Arc::clone(&live);
            async move { live.none_left(&[name("a")]).await }
        });
        drop(first);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        drop(second);
        timeout(Duration::from_secs(20), waiting)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(live.touched(&[c]).connections, 1);
        drop(other);
        assert_eq!(timed.took_ns().len(), 2);
        let spread = live.spread(&timed);
        assert!(0 < spread.p50_ns && spread.p50_ns <= spread.max_ns);
        assert!(live.timed().is_empty());
        assert!(live.pairs().is_empty());
    }
}
