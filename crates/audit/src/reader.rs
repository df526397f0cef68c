//! The way out: records from any place on, while a writer is at work or not.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prost::Message;
use ringfence_model::flow::Flow;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::hot;
use crate::scan::{Scanner, Step};
use crate::segment::{Word, name, span};
use crate::{LogError, Seq, hot_directory, plain};

/// How often a waiting reader looks at the file. Bounds how late it sees a record.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    segment: Seq,
    offset: u64,
    next: Seq,
}

impl Mark {
    /// Number of the first record of its segment.
    pub(crate) fn segment(self) -> Seq {
        self.segment
    }

    /// Where in its segment.
    pub(crate) fn offset(self) -> u64 {
        self.offset
    }

    /// Number of the record that stands there.
    pub fn next(self) -> Seq {
        self.next
    }
}

/// What [`Reader::wait`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There is something to read.
    More,
    /// Nothing happened in the time given.
    Quiet,
    /// The log is another one now: use [`Reader::reopen`].
    Replaced,
    /// No one reads the given outlet any more.
    OutletClosed,
}

/// Reads the segments of a log, or one segment. Needs no lock and disturbs no writer.
#[derive(Debug)]
pub struct Reader {
    scanner: Scanner,
    /// Where other segments are; `None`: there is this one only.
    hot: Option<PathBuf>,
    unfinished: u64,
}

impl Reader {
    /// Opens the log in `directory`, at its first record that is in a segment.
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        let hot = hot_directory(directory);
        let segments = match hot::list(&hot) {
            Ok(segments) => segments,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(LogError::at(&hot)(cause)),
        };
        let Some(first) = segments.first() else {
            return Err(LogError::Missing(directory.to_owned()));
        };
        Ok(Self {
            scanner: scanner(&hot, *first)?,
            hot: Some(hot),
            unfinished: 0,
        })
    }

    /// Opens one segment, such as a copy of one, at its first record.
    pub fn open_file(path: &Path) -> Result<Self, LogError> {
        let file = plain::follow(path).map_err(LogError::at(path))?;
        Ok(Self {
            scanner: Scanner::new(file, path)?,
            hot: None,
            unfinished: 0,
        })
    }

    /// The next record; `None` when no whole one is there yet.
    pub fn read(&mut self) -> Result<Option<(Seq, Flow)>, LogError> {
        let before = self.mark();
        let decoded = match self.leaf()? {
            None => return Ok(None),
            Some((seq, leaf)) => Flow::decode(leaf).map(|flow| (seq, flow)),
        };
        match decoded {
            Ok(record) => Ok(Some(record)),
            Err(cause) => {
                self.scanner.go_to(before.offset, before.next);
                Err(self.scanner.corrupt(&cause.to_string()))
            }
        }
    }

    /// The next record as the bytes that stand for it in the tree; `None` when no whole one is there yet.
    pub fn leaf(&mut self) -> Result<Option<(Seq, &[u8])>, LogError> {
        Ok(self.marked_leaf()?.map(|(mark, leaf)| (mark.next, leaf)))
    }

    /// The same, and where it stands.
    pub(crate) fn marked_leaf(&mut self) -> Result<Option<(Mark, &[u8])>, LogError> {
        if !self.advance()? {
            return Ok(None);
        }
        let mark = self.mark();
        match self.scanner.step()? {
            Step::Record(_, leaf) => Ok(Some((mark, leaf))),
            Step::End { .. } | Step::Closed => Ok(None),
        }
    }

    /// Passes over the next record without decoding it; `None` when no whole one is there yet.
    pub fn skip(&mut self) -> Result<Option<Seq>, LogError> {
        Ok(self.leaf()?.map(|(seq, _)| seq))
    }

    /// Passes over records until `seq` is next, or the first after it that is in a segment. `false`: the log ends before it.
    pub fn skip_to(&mut self, seq: Seq) -> Result<bool, LogError> {
        if let Some(hot) = &self.hot {
            let segments = list(hot)?;
            let holds = segments.iter().rev().find(|first| **first <= seq);
            if let Some(first) = holds.or(segments.first()) {
                let mark = self.mark();
                if mark.segment != *first || mark.next > seq {
                    self.scanner = scanner(hot, *first)?;
                }
            }
        } else if seq < self.mark().next {
            let header = self.scanner.header();
            self.scanner
                .go_to(crate::segment::HEADER_LEN as u64, header.first);
        }
        while self.mark().next < seq {
            if self.skip()?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes to where the last `count` records begin. Takes a pass over the last segment and no memory.
    pub fn go_to_last(&mut self, count: u64) -> Result<(), LogError> {
        let first = self.end()?.0.saturating_sub(count);
        self.skip_to(Seq(first)).map(|_| ())
    }

    /// Number behind the last record that is there now: whoever reads up to it comes to an end, however fast the log grows. A record
    /// that cannot be read counts, so that the damage is met. Takes a pass over the last segment, and moves nothing.
    pub fn end(&self) -> Result<Seq, LogError> {
        let (file, path) = self.scanner.file();
        let last = match &self.hot {
            Some(hot) => list(hot)?.pop(),
            None => None,
        };
        let mut last = match (&self.hot, last) {
            (Some(hot), Some(last)) if last > self.scanner.header().first => scanner(hot, last)?,
            _ => {
                let file = file.try_clone().map_err(LogError::at(path))?;
                Scanner::new(file, path)?
            }
        };
        loop {
            match last.step() {
                Ok(Step::Record(..)) => {}
                Ok(Step::End { .. } | Step::Closed) => return Ok(last.place().1),
                Err(LogError::Corrupt { seq, .. }) => return Ok(Seq(seq.saturating_add(1))),
                Err(other) => return Err(other),
            }
        }
    }

    /// Where the next record starts.
    pub fn mark(&self) -> Mark {
        let (offset, next) = self.scanner.place();
        Mark {
            segment: self.scanner.header().first,
            offset,
            next,
        }
    }

    /// Number of the record that is read next.
    pub fn next(&self) -> Seq {
        self.scanner.place().1
    }

    /// Goes back to a place in the same log.
    pub fn go_to(&mut self, mark: Mark) -> Result<(), LogError> {
        if let Some(hot) = &self.hot
            && self.mark().segment != mark.segment
        {
            self.scanner = scanner(hot, mark.segment)?;
        }
        self.scanner.go_to(mark.offset, mark.next);
        Ok(())
    }

    /// Goes on behind records that are not there, after [`LogError::Gone`].
    pub fn pass_gap(&mut self) -> Result<(), LogError> {
        if let Some(hot) = &self.hot {
            let next = self.next();
            if let Some(first) = list(hot)?.into_iter().find(|first| *first > next) {
                self.scanner = scanner(hot, first)?;
            }
        }
        Ok(())
    }

    /// The file that is read at the moment.
    pub fn file(&self) -> (&File, &Path) {
        self.scanner.file()
    }

    /// Bytes of a slot that was reserved and not completed, as of the last [`Reader::read`] that gave `None`.
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// Waits, for `at_most`, until there is more to read, or until no one reads `outlet` any more.
    pub fn wait(
        &mut self,
        outlet: Option<BorrowedFd<'_>>,
        at_most: Duration,
    ) -> Result<Wait, LogError> {
        let until = Instant::now() + at_most;
        loop {
            let (file, path) = self.scanner.file();
            let (path, open_error) = (path.to_owned(), LogError::at(path));
            let own = file.metadata().map_err(&open_error)?;
            let mark = self.mark();
            if own.size() < mark.offset {
                return Err(LogError::Tampered(format!(
                    "{} was cut to {} bytes, before record {} at byte {}",
                    path.display(),
                    own.size(),
                    mark.next,
                    mark.offset
                )));
            }
            if self.advance()? {
                return Ok(Wait::More);
            }
            if self.is_replaced() {
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

    /// Whether another file has the name of this one. A name that leads nowhere is the moment between moving a segment aside and
    /// beginning a new one, or one that was sealed.
    pub(crate) fn is_replaced(&self) -> bool {
        let (file, path) = self.scanner.file();
        let (own, named) = (file.metadata(), std::fs::symlink_metadata(path));
        match (own, named) {
            (Ok(own), Ok(named)) => {
                self.hot.is_some() && (named.dev(), named.ino()) != (own.dev(), own.ino())
            }
            _ => false,
        }
    }

    /// Leaves this file for the one that now has its name: at the same place where that is the same segment, else at the log's
    /// first record.
    pub fn reopen(&mut self) -> Result<(), LogError> {
        if let Some(hot) = self.hot.clone() {
            let (header, mark) = (self.scanner.header(), self.mark());
            match scanner(&hot, mark.segment) {
                // The same segment, written again after somebody removed it.
                Ok(scanner) if scanner.header().created_ns == header.created_ns => {
                    self.scanner = scanner;
                    self.scanner.go_to(mark.offset, mark.next);
                }
                _ => *self = Self::open(hot.parent().unwrap_or(Path::new(".")))?,
            }
        }
        Ok(())
    }

    /// Stands before a whole record if there is one, in the next segment where this one has ended.
    fn advance(&mut self) -> Result<bool, LogError> {
        // A writer may fill this segment and begin others between two looks: a gap is one that is there at the second.
        let mut gap = false;
        loop {
            self.unfinished = 0;
            match self.scanner.word()? {
                Word::Empty | Word::End => {}
                Word::Reserved(length) => self.unfinished = span(length) as u64,
                Word::Complete(_) | Word::Void(_) | Word::Impossible => return Ok(true),
            }
            let Some(hot) = &self.hot else {
                return Ok(false);
            };
            let (_, next) = self.scanner.place();
            if next == self.scanner.header().first {
                // Nothing was ever here: no other segment can begin with the same number.
                return Ok(false);
            }
            match scanner(hot, next) {
                Ok(scanner) => {
                    self.scanner = scanner;
                    gap = false;
                }
                Err(LogError::Open { cause, .. })
                    if cause.kind() == std::io::ErrorKind::NotFound =>
                {
                    let after = list(hot)?.into_iter().find(|first| *first > next);
                    match after {
                        Some(_) if !gap => gap = true,
                        Some(first) => {
                            return Err(LogError::Gone {
                                path: hot.clone(),
                                from: next.0,
                                next: first.0,
                            });
                        }
                        None => return Ok(false),
                    }
                }
                Err(other) => return Err(other),
            }
        }
    }
}

fn list(hot: &Path) -> Result<Vec<Seq>, LogError> {
    hot::list(hot).map_err(LogError::at(hot))
}

fn scanner(hot: &Path, first: Seq) -> Result<Scanner, LogError> {
    Scanner::open(&hot.join(name(first)), first)
}

/// Sleeps for `time`. `true`, earlier: no one reads `outlet` any more.
pub fn pause(outlet: Option<BorrowedFd<'_>>, time: Duration) -> std::io::Result<bool> {
    let timeout = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
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
