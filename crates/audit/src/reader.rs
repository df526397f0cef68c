//! The way out: records from any place on, while a writer is at work or not.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prost::Message;
use ringfence_model::flow::Flow;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::open::FILE_NAME;
use crate::scan::{Scanner, Step};
use crate::{LogError, Seq};

/// How often a waiting reader looks at the file. Bounds how late it sees a record.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A place in one log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    offset: u64,
    next: Seq,
}

/// What [`Reader::wait`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The file has changed.
    More,
    /// Nothing happened in the time given.
    Quiet,
    /// The log goes by another file now, which begins at record 0: use [`Reader::reopen`].
    Replaced,
    /// No one reads the given outlet any more.
    OutletClosed,
}

/// Reads the log of a directory. Needs no lock and disturbs no writer.
#[derive(Debug)]
pub struct Reader {
    scanner: Scanner,
    path: PathBuf,
    unfinished: u64,
}

impl Reader {
    /// Opens the log in `directory`, at its first record.
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        let path = directory.join(FILE_NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(LogError::Missing(directory.to_owned()));
            }
            Err(cause) => return Err(LogError::Open { path, cause }),
        };
        Ok(Self {
            scanner: Scanner::new(file, &path),
            path,
            unfinished: 0,
        })
    }

    /// Opens a file in the form of the log, such as a copy of one, at its first record.
    pub fn open_file(path: &Path) -> Result<Self, LogError> {
        let file = File::open(path).map_err(|cause| LogError::Open {
            path: path.to_owned(),
            cause,
        })?;
        Ok(Self {
            scanner: Scanner::new(file, path),
            path: path.to_owned(),
            unfinished: 0,
        })
    }

    /// The next record; `None` when no whole one is there yet.
    pub fn read(&mut self) -> Result<Option<(Seq, Flow)>, LogError> {
        let before = self.mark();
        let decoded = match self.scanner.step()? {
            Step::End { unfinished } => {
                self.unfinished = unfinished;
                return Ok(None);
            }
            Step::Record(seq, body) => Flow::decode(body).map(|flow| (seq, flow)),
        };
        self.unfinished = 0;
        match decoded {
            Ok(record) => Ok(Some(record)),
            Err(cause) => {
                self.go_to(before);
                Err(self.scanner.corrupt(&cause.to_string()))
            }
        }
    }

    /// Passes over the next record without decoding it; `None` when no whole one is there yet.
    pub fn skip(&mut self) -> Result<Option<Seq>, LogError> {
        match self.scanner.step()? {
            Step::Record(seq, _) => Ok(Some(seq)),
            Step::End { unfinished } => {
                self.unfinished = unfinished;
                Ok(None)
            }
        }
    }

    /// Passes over records until `seq` is next. `false`: the log ends before it.
    pub fn skip_to(&mut self, seq: Seq) -> Result<bool, LogError> {
        if seq < self.mark().next {
            self.go_to(Mark {
                offset: 0,
                next: Seq(0),
            });
        }
        while self.mark().next < seq {
            if self.skip()?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes to where the last `count` records begin. Takes two passes and no memory.
    pub fn go_to_last(&mut self, count: u64) -> Result<(), LogError> {
        while self.skip()?.is_some() {}
        let first = self.mark().next.0.saturating_sub(count);
        self.skip_to(Seq(first)).map(|_| ())
    }

    /// Where the next record starts.
    pub fn mark(&self) -> Mark {
        let (offset, next) = self.scanner.place();
        Mark { offset, next }
    }

    /// Goes back to a place in the same file.
    pub fn go_to(&mut self, mark: Mark) {
        self.scanner.go_to(mark.offset, mark.next);
    }

    /// Bytes behind the last whole record, as of the last [`Reader::read`] that gave `None`.
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// Waits, for `at_most`, until there is more to read, or until no one reads `outlet` any more.
    pub fn wait(
        &self,
        outlet: Option<BorrowedFd<'_>>,
        at_most: Duration,
    ) -> Result<Wait, LogError> {
        let open_error = |cause| LogError::Open {
            path: self.path.clone(),
            cause,
        };
        let until = Instant::now() + at_most;
        loop {
            let own = self.scanner.file().metadata().map_err(open_error)?;
            let mark = self.mark();
            if own.size() < mark.offset {
                return Err(LogError::Tampered(format!(
                    "{} was cut to {} bytes, before record {} at byte {}",
                    self.path.display(),
                    own.size(),
                    mark.next,
                    mark.offset
                )));
            }
            if own.size() != mark.offset + self.unfinished {
                return Ok(Wait::More);
            }
            // A name that leads nowhere is the moment between moving a log aside and beginning a new one.
            if let Ok(named) = std::fs::symlink_metadata(&self.path)
                && (named.dev(), named.ino()) != (own.dev(), own.ino())
            {
                return Ok(Wait::Replaced);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Wait::Quiet);
            }
            if pause(outlet, left.min(LOOK_EVERY)).map_err(open_error)? {
                return Ok(Wait::OutletClosed);
            }
        }
    }

    /// Leaves this file for the one that now has its name, at record 0.
    pub fn reopen(&mut self) -> Result<(), LogError> {
        let directory = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        *self = Self::open(&directory)?;
        Ok(())
    }
}

/// Sleeps for `time`. `true`, earlier: no one reads `outlet` any more.
fn pause(outlet: Option<BorrowedFd<'_>>, time: Duration) -> std::io::Result<bool> {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    let mut watched = Vec::with_capacity(1);
    if let Some(outlet) = outlet {
        // No event is asked for: errors and hang-ups are always reported.
        watched.push(PollFd::from_borrowed_fd(outlet, PollFlags::empty()));
    }
    match poll(&mut watched, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    Ok(watched.iter().any(|fd| fd.revents().intersects(gone)))
}
