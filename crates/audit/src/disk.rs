//! Group commit: who waits for the disk waits together.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::writer::Writer;
use crate::{LogError, Seq};

/// How far the disk has come.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Records before this one are on the disk.
    kept: Seq,
    /// Someone is at it.
    busy: bool,
    /// The disk failed, for all records up to here.
    failed: Option<(Seq, io::ErrorKind, String)>,
}

impl Disk {
    /// Waits until record `seq` is on the disk.
    pub(crate) fn keep(&self, seq: Seq, writer: &Mutex<Writer>) -> Result<(), LogError> {
        let mut state = self.state();
        loop {
            if state.kept > seq {
                return Ok(());
            }
            if let Some((until, kind, what)) = &state.failed
                && *until > seq
            {
                return Err(LogError::Io(io::Error::new(*kind, what.clone())));
            }
            if state.busy {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.busy = true;
            drop(state);
            let (segments, head) = {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                (writer.unwritten(), writer.next())
            };
            let synced = segments
                .iter()
                .try_for_each(|segment| segment.file.sync_data());
            if let Err(error) = &synced {
                let same = io::Error::new(error.kind(), error.to_string());
                writer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .fail(same);
            }
            state = self.state();
            state.busy = false;
            match synced {
                Ok(()) => state.kept = state.kept.max(head),
                Err(error) => state.failed = Some((head, error.kind(), error.to_string())),
            }
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
