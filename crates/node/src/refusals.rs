//! Refusals, as they are recorded: of claims, and of who asks as an operator and is none. Any user of the host may claim at
//! a node of root, as often as it likes: the log is everybody's, and stays so. Every refusal is counted.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::limits::{REFUSALS_PER_USER, REFUSALS_USERS, REFUSALS_WINDOW};

/// Which refusals are recorded one by one, and how many more there were.
pub(crate) struct Refusals {
    of: &'static str,
    by_user: BTreeMap<Whose, Window>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    User(u32),
    /// Of users beyond those that are told apart.
    Others,
}

struct Window {
    began: Instant,
    itemised: usize,
    more: u64,
    last: String,
}

impl Refusals {
    /// Of what, as they are summed up.
    pub(crate) fn of(of: &'static str) -> Self {
        Self {
            of,
            by_user: BTreeMap::new(),
        }
    }

    /// Whether this one is recorded by itself. Otherwise it is counted, and `reason` told if it stays the last one.
    pub(crate) fn itemise(&mut self, uid: u32, reason: &str, now: Instant) -> bool {
        let whose = match Whose::User(uid) {
            known if self.by_user.contains_key(&known) || self.by_user.len() < REFUSALS_USERS => {
                known
            }
            Whose::User(_) | Whose::Others => Whose::Others,
        };
        let window = self.by_user.entry(whose).or_insert_with(|| Window {
            began: now,
            itemised: 0,
            more: 0,
            last: String::new(),
        });
        if window.itemised < REFUSALS_PER_USER {
            window.itemised += 1;
            return true;
        }
        window.more += 1;
        reason.clone_into(&mut window.last);
        false
    }

    /// What is to be recorded of windows that have ended by `now`; of all, where that is `None`.
    pub(crate) fn sums(&mut self, now: Option<Instant>) -> Vec<String> {
        let (mut sums, of) = (Vec::new(), self.of);
        self.by_user.retain(|whose, window| {
            if now.is_some_and(|now| now < window.began + REFUSALS_WINDOW) {
                return true;
            }
            if window.more > 0 {
                let whose = match whose {
                    Whose::User(uid) => format!("uid {uid}"),
                    Whose::Others => "further users".to_owned(),
                };
                let (more, last) = (window.more, &window.last);
                sums.push(format!("{more} more {of} of {whose}; the last one: {last}"));
            }
            false
        });
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_gets_so_many_records_in_a_window_and_the_rest_is_counted() {
        let (mut refusals, now) = (Refusals::of("claims"), Instant::now());
        let itemised = |refusals: &mut Refusals, uid, count| {
            (0..count)
                .filter(|number| refusals.itemise(uid, &format!("no {number}"), now))
                .count()
        };
        assert_eq!(itemised(&mut refusals, 1000, 5000), 100);
        assert_eq!(itemised(&mut refusals, 1001, 100), 100, "another user's");
        assert!(refusals.sums(Some(now)).is_empty());
        let later = now + REFUSALS_WINDOW;
        let said = ["4900 more claims of uid 1000; the last one: no 4999"];
        assert_eq!(refusals.sums(Some(later)), said);
        assert!(refusals.itemise(1000, "no", later), "it begins anew");
        assert!(refusals.sums(None).is_empty(), "none was left out");
    }

    #[test]
    fn so_many_users_are_told_apart() {
        let (mut refusals, now) = (Refusals::of("claims"), Instant::now());
        for uid in 0..256 {
            assert!(refusals.itemise(uid, "no", now));
        }
        let itemised = (1000..2000).filter(|uid| refusals.itemise(*uid, "no", now));
        assert_eq!(itemised.count(), 100);
        let said = ["900 more claims of further users; the last one: no"];
        assert_eq!(refusals.sums(None), said);
    }
}
