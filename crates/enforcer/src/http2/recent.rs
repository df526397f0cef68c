//! Streams that have ended lately: what may still come on them.

use std::collections::VecDeque;

use super::limits::{REMEMBERED, STREAM_WINDOW};

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The peer has said that it sends nothing more.
    ByPeer,
    /// We reset it: the peer may not know yet.
    ByUs,
}

#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    id: u32,
    how: How,
    /// Bytes of data that may have crossed our reset.
    room: u32,
}

impl Recent {
    pub(super) fn remember(&mut self, id: u32, how: How) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        let room = STREAM_WINDOW;
        self.0.push_back(Entry { id, how, room });
    }

    pub(super) fn how(&self, id: u32) -> Option<How> {
        // Those that frames cross are the latest.
        self.0
            .iter()
            .rev()
            .find(|entry| entry.id == id)
            .map(|entry| entry.how)
    }

    /// Data on stream `id` that takes `weight` of the window: how that ended, if as much may have crossed our reset.
    pub(super) fn data(&mut self, id: u32, weight: u32) -> Option<How> {
        let entry = self.0.iter_mut().rev().find(|entry| entry.id == id)?;
        if entry.how == How::ByUs {
            entry.room = entry.room.checked_sub(weight)?;
        }
        Some(entry.how)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_may_be_are_remembered_and_the_oldest_goes() {
        let mut recent = Recent::default();
        for id in 0..REMEMBERED as u32 {
            recent.remember(id, How::ByPeer);
        }
        assert_eq!(recent.how(0), Some(How::ByPeer));
        recent.remember(1000, How::ByUs);
        assert_eq!((recent.how(0), recent.how(1)), (None, Some(How::ByPeer)));
        // No more may cross our reset than the window had room for.
        assert_eq!(recent.data(1000, STREAM_WINDOW), Some(How::ByUs));
        assert_eq!(recent.data(1000, 1), None);
        assert_eq!(recent.data(1, 1), Some(How::ByPeer));
    }
}
