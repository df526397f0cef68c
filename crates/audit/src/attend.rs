//! Does beforehand, in a thread of its own, what a record should not wait for: the next segment, its pages in memory, and
//! writing back.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::gap::RETRY_AFTER;
use crate::hot::Hot;
use crate::keys::Keys;
use crate::writer::Writer;

/// How often what was written is written back. A disk that fails is known that soon.
const WRITE_BACK: Duration = Duration::from_secs(1);

/// The thread, until dropped.
#[derive(Debug)]
pub(crate) struct Attendant {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Attendant {
    pub(crate) fn start(
        writer: Arc<Mutex<Writer>>,
        hot: Arc<Hot>,
        keys: Arc<Keys>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("flow-log".to_owned()).spawn({
            let (writer, stop) = (writer.clone(), stop.clone());
            move || attend(&writer, &hot, &keys, &stop)
        })?;
        lock(&writer).attended_by(Some(thread.thread().clone()));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic in there has said what it had to say.
            let _ended = thread.join();
        }
    }
}

fn attend(writer: &Mutex<Writer>, hot: &Hot, keys: &Keys, stop: &AtomicBool) {
    let mut written_back = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let due = written_back.elapsed() >= WRITE_BACK;
        let chores = lock(writer).chores(due);
        // Where there is no room for a spare now, the record that needs it is refused, and says so.
        if let Some(asked) = chores.spare
            && let Ok(spare) = hot.spare(asked)
        {
            let length = spare.map.len();
            // A segment is used from its start: that much is there at once.
            let _later = spare.map.populate(0, length.min(crate::writer::AHEAD));
            let left_over = lock(writer).keep_spare(spare, asked);
            if let Some(spare) = left_over {
                hot.discard(&spare);
            }
        }
        let (next, segment) = lock(writer).place();
        keys.attend(next, segment);
        if let Some((segment, from, to)) = chores.populate {
            // What cannot be given now is found by the store that needs it.
            if segment.map.populate(from, to).is_ok() {
                lock(writer).populated(&segment, to);
            }
        }
        if due {
            written_back = Instant::now();
        }
        if let Some(unwritten) = chores.sync {
            match unwritten.write_back() {
                Ok(()) => lock(writer).keeps(&unwritten),
                Err(error) => {
                    lock(writer).fail(error, unwritten);
                }
            }
        }
        if let Some(step) = chores.rescue {
            let done = step.run(hot);
            let well = done.is_ok();
            lock(writer).rescued(&step, done);
            if well {
                continue;
            }
        }
        let (dirty, unkept) = {
            let writer = lock(writer);
            (writer.is_dirty(), writer.is_unkept())
        };
        if unkept {
            thread::park_timeout(RETRY_AFTER);
        } else if dirty {
            thread::park_timeout(
                WRITE_BACK
                    .saturating_sub(written_back.elapsed())
                    .max(Duration::from_millis(1)),
            );
        } else {
            thread::park();
        }
    }
    // What memory alone has is not left there without another try.
    loop {
        let step = lock(writer).rescue_now();
        let Some(step) = step else { return };
        let done = step.run(hot);
        let well = done.is_ok();
        lock(writer).rescued(&step, done);
        if !well {
            return;
        }
    }
}

fn lock(writer: &Mutex<Writer>) -> std::sync::MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}
