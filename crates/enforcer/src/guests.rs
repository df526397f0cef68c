//! Who takes the places of a compartment that is called: no caller more than it leaves.
//!
//! A service has a bounded number of places, and whoever may call it could take them all, by connections that do
//! nothing. So a caller gets one more only while it leaves enough to others: see [`Slots::share`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_model::Name;

use crate::slots::{Slot, Slots};

/// The callers of one compartment, each with the number of places it has.
#[derive(Default)]
pub(crate) struct Guests {
    // As many as there are workloads, at most.
    by_name: Mutex<HashMap<Name, Arc<Slots>>>,
}

/// One place that a caller has. Given back on drop.
pub(crate) struct Guest {
    _of_all_and_of_caller: [Slot; 2],
}

/// Why a caller gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There is none left.
    All,
    /// It has as many as it leaves to others.
    Caller,
}

impl Guests {
    /// One of `places` for `caller`, all instances of it together.
    pub(crate) fn take(&self, places: &Arc<Slots>, caller: &Name) -> Result<Guest, Full> {
        let own = {
            let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
            match by_name.get(caller) {
                Some(own) => Arc::clone(own),
                None => Arc::clone(
                    by_name
                        .entry(caller.clone())
                        .or_insert_with(|| Slots::new(usize::MAX)),
                ),
            }
        };
        let taken = places
            .share(&own)
            .ok_or(if places.taken() < places.limit() {
                Full::Caller
            } else {
                Full::All
            })?;
        Ok(Guest {
            _of_all_and_of_caller: taken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(guests: &Guests, places: &Arc<Slots>, caller: &str) -> (Vec<Guest>, Full) {
        let caller = Name::new(caller).unwrap();
        let mut kept = Vec::new();
        loop {
            match guests.take(places, &caller) {
                Ok(guest) => kept.push(guest),
                Err(full) => return (kept, full),
            }
        }
    }

    #[test]
    fn no_caller_takes_more_than_it_leaves_and_what_it_gives_back_is_free_again() {
        let (guests, places) = (Guests::default(), Slots::new(120));
        let (first, why) = fill(&guests, &places, "first");
        assert_eq!((first.len(), why), (46, Full::Caller));
        let (second, why) = fill(&guests, &places, "second");
        assert_eq!((second.len(), why), (23, Full::Caller));
        let others: Vec<_> = (0..10)
            .map(|n| fill(&guests, &places, &format!("other-{n}")).0)
            .collect();
        assert!(others.iter().all(|kept| !kept.is_empty()));
        assert_eq!(fill(&guests, &places, "first").0.len(), 0);
        drop((second, others));
        assert_eq!(places.taken(), 46);
        drop(first);
        assert_eq!(fill(&guests, &places, "second").0.len(), 46);
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn says_when_there_is_none_left_at_all() {
        let (guests, places) = (Guests::default(), Slots::new(1));
        let (_kept, why) = fill(&guests, &places, "first");
        assert_eq!(why, Full::All);
    }
}
