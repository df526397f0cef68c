//! Memory that the requests of a compartment may take beyond what each of its connections may hold by itself: an account of
//! bytes, so that who has thousands of connections holds no more than the account, however little each of them asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes to lend.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    lent: AtomicUsize,
}

/// Some of them, given back on drop.
#[derive(Debug)]
pub(crate) struct Loan {
    of: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    /// `limit` bytes, none of them lent.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            lent: AtomicUsize::new(0),
        })
    }

    /// `bytes` of them; `None` where so many are not left.
    pub(crate) fn lend(self: &Arc<Self>, bytes: usize) -> Option<Loan> {
        self.lend_up_to(self.limit, bytes)
    }

    /// `bytes` for what can do without: half of all stays for what cannot.
    pub(crate) fn lend_spare(self: &Arc<Self>, bytes: usize) -> Option<Loan> {
        self.lend_up_to(self.limit / 2, bytes)
    }

    fn lend_up_to(self: &Arc<Self>, most: usize, bytes: usize) -> Option<Loan> {
        self.lent
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |lent| {
                lent.checked_add(bytes).filter(|all| *all <= most)
            })
            .ok()
            .map(|_| Loan {
                of: Arc::clone(self),
                bytes,
            })
    }

    /// How many there are.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    #[cfg(test)]
    pub(crate) fn lent(&self) -> usize {
        self.lent.load(Ordering::Acquire)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.of.lent.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_no_more_than_there_is_and_takes_it_back() {
        let memory = Memory::new(100);
        let first = memory.lend(60).unwrap();
        assert!(memory.lend(41).is_none());
        let _second = memory.lend(40).unwrap();
        assert!(memory.lend(1).is_none() && memory.lend(usize::MAX).is_none());
        drop(first);
        assert_eq!(memory.lent(), 40);
        assert!(memory.lend_spare(11).is_none());
        assert!(memory.lend_spare(10).is_some());
        assert_eq!(memory.lent(), 40);
    }
}
