//! Attempts on their way to the log: folded where they repeat, bounded in memory, kept until the enforcer has
//! recorded them.
//!
//! Counts always add up: what is not itemised any more is part of a count. A batch that was sent but not acknowledged
//! when the enforcer went away is sent again to the next one, so an attempt is recorded at least once.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use ringfence_model::UNITEMISED;

use crate::link::Attempt;

/// Identical attempts recorded one by one within a second; further ones of that second become one record.
pub(crate) const ITEMISED_PER_SECOND: u64 = 100;
/// Attempts that wait to be sent. Further ones are counted in one record per kind, without their particulars.
pub(crate) const PENDING_MAX: usize = 10_000;
/// Attempts recorded one by one within a second, whatever they are. Further ones of that second are counted in one record
/// per kind, without their particulars.
pub(crate) const DIFFERENT_PER_SECOND: usize = 1000;
/// Attempts in one message, and messages not yet acknowledged.
const BATCH: usize = 64;
const FLYING_MAX: usize = 8;
/// Longest text in an attempt, in bytes. Longer ones are cut.
const TEXT_MAX: usize = 200;
const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    wall: bool,
    protocol: String,
    operation: String,
    destination: Option<SocketAddr>,
}

#[derive(Debug, Default)]
struct Window {
    seen: u64,
    /// First of those beyond the bound, with their number as its count.
    folded: Option<Attempt>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    second: u64,
    /// Taken one by one in this second.
    itemised: usize,
    windows: HashMap<Kind, Window>,
    pending: VecDeque<Attempt>,
    flying: VecDeque<Vec<Attempt>>,
    acknowledged: u64,
    /// Beyond the bounds: one for walls, one for others.
    unitemised: [Option<Attempt>; 2],
    /// The second of `unitemised` is over.
    due: bool,
}

impl Spool {
    /// Takes an attempt.
    pub(crate) fn push(&mut self, mut attempt: Attempt) {
        for text in [
            &mut attempt.protocol,
            &mut attempt.operation,
            &mut attempt.reason,
        ] {
            cut(text);
        }
        self.tick(attempt.time_ns);
        let kind = Kind {
            wall: attempt.wall,
            protocol: attempt.protocol.clone(),
            operation: attempt.operation.clone(),
            destination: attempt.destination,
        };
        if self.itemised >= DIFFERENT_PER_SECOND
            && self
                .windows
                .get(&kind)
                .is_none_or(|window| window.seen < ITEMISED_PER_SECOND)
        {
            return self.sum_up(attempt);
        }
        let window = self.windows.entry(kind).or_default();
        window.seen = window.seen.saturating_add(attempt.count);
        if window.seen <= ITEMISED_PER_SECOND {
            self.itemised += 1;
            self.enqueue(attempt);
        } else {
            match &mut window.folded {
                Some(folded) => folded.join(&attempt),
                None => window.folded = Some(attempt),
            }
        }
    }

    /// Closes the second that has passed: what was folded in it becomes ready to be sent.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        let second = now_ns / SECOND;
        if second != self.second {
            self.second = second;
            self.close_window();
        }
    }

    /// Makes everything ready to be sent, at the end.
    pub(crate) fn close_window(&mut self) {
        self.itemised = 0;
        self.due = self.unitemised.iter().any(Option::is_some);
        let windows = std::mem::take(&mut self.windows);
        for folded in windows.into_values().filter_map(|window| window.folded) {
            self.enqueue(folded);
        }
    }

    fn enqueue(&mut self, attempt: Attempt) {
        if self.pending.len() < PENDING_MAX {
            self.pending.push_back(attempt);
        } else {
            self.sum_up(attempt);
        }
    }

    /// Counts an attempt that is not kept one by one.
    fn sum_up(&mut self, attempt: Attempt) {
        let slot = &mut self.unitemised[usize::from(attempt.wall)];
        match slot {
            Some(sum) => sum.join(&attempt),
            None => {
                *slot = Some(Attempt {
                    protocol: "various".to_owned(),
                    operation: UNITEMISED.to_owned(),
                    destination: None,
                    reason: format!(
                        "{}; more different attempts than get a record each",
                        attempt.reason
                    ),
                    ..attempt
                });
            }
        }
    }

    /// The next message to send, if one may be sent now. It counts as sent.
    pub(crate) fn next_batch(&mut self) -> Option<Vec<Attempt>> {
        if self.flying.len() >= FLYING_MAX {
            return None;
        }
        if self.due && self.pending.len() < PENDING_MAX / 2 {
            self.due = false;
            let unitemised = self.unitemised.each_mut().map(Option::take);
            self.pending.extend(unitemised.into_iter().flatten());
        }
        let length = self.pending.len().min(BATCH);
        if length == 0 {
            return None;
        }
        let batch: Vec<_> = self.pending.drain(..length).collect();
        self.flying.push_back(batch.clone());
        Some(batch)
    }

    /// The last message could not be sent after all.
    pub(crate) fn take_back(&mut self) {
        if let Some(batch) = self.flying.pop_back() {
            self.put_first(batch);
        }
    }

    /// The log has taken `messages` since the link was made. A number that makes no sense is an error: the enforcer
    /// is not what it should be.
    pub(crate) fn recorded(&mut self, messages: u64) -> Result<(), String> {
        let new = messages.checked_sub(self.acknowledged);
        match new.and_then(|new| usize::try_from(new).ok()) {
            Some(new) if new <= self.flying.len() => {
                self.flying.drain(..new);
                self.acknowledged = messages;
                Ok(())
            }
            _ => Err(format!(
                "it says that {messages} messages are recorded; {} were sent",
                self.acknowledged + self.flying.len() as u64
            )),
        }
    }

    /// The enforcer is gone: what it did not acknowledge waits for the next one.
    pub(crate) fn link_lost(&mut self) {
        self.acknowledged = 0;
        while let Some(batch) = self.flying.pop_back() {
            self.put_first(batch);
        }
    }

    fn put_first(&mut self, batch: Vec<Attempt>) {
        for attempt in batch.into_iter().rev() {
            self.pending.push_front(attempt);
        }
    }

    /// Whether something could be sent.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty() || self.due
    }

    /// Attempts that no log has taken yet.
    pub(crate) fn outstanding(&self) -> u64 {
        self.pending
            .iter()
            .chain(self.flying.iter().flatten())
            .chain(self.unitemised.iter().flatten())
            .chain(
                self.windows
                    .values()
                    .filter_map(|window| window.folded.as_ref()),
            )
            .map(|attempt| attempt.count)
            .sum()
    }
}

fn cut(text: &mut String) {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(time_ns: u64, operation: &str) -> Attempt {
        Attempt {
            time_ns,
            wall: true,
            protocol: "system call".to_owned(),
            operation: operation.to_owned(),
            destination: None,
            reason: "refused".to_owned(),
            count: 1,
            last_ns: 0,
        }
    }

    fn drain(spool: &mut Spool) -> Vec<Attempt> {
        let mut all = Vec::new();
        let mut messages = 0;
        while let Some(batch) = spool.next_batch() {
            all.extend(batch);
            messages += 1;
            spool.recorded(spool.acknowledged + 1).unwrap();
        }
        assert!(messages > 0);
        all
    }

    #[test]
    fn folds_what_repeats_and_loses_no_count() {
        let mut spool = Spool::default();
        for number in 0..1000 {
            spool.push(attempt(SECOND + number, "unshare"));
        }
        spool.push(attempt(SECOND, "mount"));
        spool.tick(2 * SECOND);
        let all = drain(&mut spool);
        assert_eq!(all.len(), 102);
        assert_eq!(all.iter().map(|a| a.count).sum::<u64>(), 1001);
        let folded = all.iter().max_by_key(|a| a.count).unwrap();
        assert_eq!(
            (folded.count, folded.time_ns, folded.last_ns),
            (900, SECOND + 100, SECOND + 999)
        );
        assert!(all.iter().all(|a| a.count > 1 || a.last_ns == 0));
        assert_eq!(spool.outstanding(), 0);
    }

    #[test]
    fn the_bound_on_memory_keeps_the_sum() {
        let mut spool = Spool::default();
        let many = PENDING_MAX as u64 * 3;
        for index in 0..many {
            spool.push(attempt(index * SECOND, &format!("call {index}")));
        }
        assert_eq!(spool.outstanding(), many);
        let all = drain(&mut spool);
        assert!(all.len() <= PENDING_MAX + 2);
        assert_eq!(all.iter().map(|a| a.count).sum::<u64>(), many);
    }

    #[test]
    fn different_attempts_of_one_second_are_itemised_up_to_a_bound_and_then_counted() {
        let mut spool = Spool::default();
        for index in 0..5000 {
            spool.push(attempt(SECOND, &format!("call {index}")));
        }
        for _ in 0..7 {
            spool.push(Attempt {
                wall: false,
                ..attempt(SECOND, "connect")
            });
        }
        assert_eq!(drain(&mut spool).len(), DIFFERENT_PER_SECOND);
        assert_eq!(spool.outstanding(), 4007);
        spool.push(attempt(2 * SECOND, "mount"));
        let all = drain(&mut spool);
        let told: Vec<_> = all
            .iter()
            .map(|attempt| (attempt.operation.as_str(), attempt.wall, attempt.count))
            .collect();
        let unitemised = [(UNITEMISED, false, 7), (UNITEMISED, true, 4000)];
        assert_eq!(told[0], ("mount", true, 1));
        assert_eq!(told[1..], unitemised);
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_order() {
        let mut spool = Spool::default();
        for index in 0..200 {
            spool.push(attempt(SECOND, &format!("call {index}")));
        }
        let first = spool.next_batch().unwrap();
        let second = spool.next_batch().unwrap();
        spool.recorded(1).unwrap();
        spool.link_lost();
        assert_eq!(spool.next_batch().unwrap(), second);
        assert_ne!(first, second);
        assert_eq!(spool.outstanding(), 200 - first.len() as u64);
        assert!(spool.recorded(5).is_err());
    }

    #[test]
    fn messages_hold_so_many_attempts_and_so_many_are_under_way() {
        let mut spool = Spool::default();
        let many = BATCH * FLYING_MAX + 1;
        for index in 0..many {
            spool.push(attempt(SECOND * index as u64, &format!("call {index}")));
        }
        for _ in 0..FLYING_MAX {
            assert_eq!(spool.next_batch().unwrap().len(), BATCH);
        }
        // One waits, and nothing is lost by that.
        assert!(spool.has_pending() && spool.next_batch().is_none());
        assert_eq!(spool.outstanding(), many as u64);
        spool.recorded(1).unwrap();
        assert_eq!(spool.next_batch().unwrap().len(), 1);
        assert_eq!(spool.outstanding(), (many - BATCH) as u64);
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let told = |text: &str| {
            let mut spool = Spool::default();
            spool.push(Attempt {
                reason: text.to_owned(),
                protocol: text.to_owned(),
                ..attempt(SECOND, text)
            });
            let attempt = spool.next_batch().unwrap().swap_remove(0);
            assert_eq!(attempt.operation, attempt.reason);
            assert_eq!(attempt.operation, attempt.protocol);
            attempt.operation
        };
        let longest = "x".repeat(TEXT_MAX);
        assert_eq!(told(&longest), longest);
        assert_eq!(told(&format!("{longest}y")), longest);
        // One of two bytes, across the bound.
        let across = format!("{}\u{fc}", &longest[1..]);
        assert_eq!(told(&across), longest[1..]);
    }
}
