//! The records of a log one by one, wherever they are: sealed, in a segment, or sealed while they are read.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prost::Message;
use ringfence_archive::{SEALED_MAGIC, SealedReader, files};
use ringfence_audit::{LogError, Mark as HotMark, Reader, Seq, Wait, hot_directory, pause};
use ringfence_model::flow::Flow;

use crate::prune::latest_ns;
use crate::{HistoryError, place};

/// How often a log without segments is looked at for new ones.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a record is looked for that is sealed or pruned between two looks.
const LOOKS: u32 = 5;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    next: Seq,
    hot: Option<HotMark>,
}

/// Where the next record comes from.
enum Source {
    Sealed(Box<SealedReader>),
    Hot(Reader),
}

/// Reads a log from any place on, or one file of it. Needs no lock and disturbs no writer.
pub struct Records {
    /// `None`: there is this one file only.
    log: Option<PathBuf>,
    source: Source,
    next: Seq,
    leaf: Vec<u8>,
}

impl Records {
    /// Opens the log in `directory`, at the oldest record that is there.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        let source = match files(&place::sealed(directory))?.first() {
            Some(file) => Source::Sealed(Box::new(SealedReader::open(&file.path)?)),
            None => Source::Hot(match Reader::open(directory) {
                Err(LogError::Missing(_)) => {
                    return Err(HistoryError::NoLog(directory.to_owned()));
                }
                opened => opened?,
            }),
        };
        Ok(Self::at(Some(directory.to_owned()), source))
    }

    /// Opens one segment, or one sealed file, such as a copy of one, at its first record.
    pub fn open_file(path: &Path) -> Result<Self, HistoryError> {
        let mut head = [0; SEALED_MAGIC.len()];
        let is_sealed = File::open(path)
            .and_then(|file| file.read_exact_at(&mut head, 0))
            .is_ok_and(|()| head == SEALED_MAGIC);
        let source = if is_sealed {
            Source::Sealed(Box::new(SealedReader::open(path)?))
        } else {
            Source::Hot(Reader::open_file(path)?)
        };
        Ok(Self::at(None, source))
    }

    fn at(log: Option<PathBuf>, source: Source) -> Self {
        let next = match &source {
            Source::Sealed(reader) => Seq(reader.first_seq()),
            Source::Hot(reader) => reader.next(),
        };
        Self {
            log,
            source,
            next,
            leaf: Vec::new(),
        }
    }

    /// Number of the record that is read next.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// The next record; `None` when no whole one is there yet.
    pub fn read(&mut self) -> Result<Option<(Seq, Flow)>, HistoryError> {
        let before = self.mark();
        let Some((seq, leaf)) = self.leaf()? else {
            return Ok(None);
        };
        match Flow::decode(leaf) {
            Ok(flow) => Ok(Some((seq, flow))),
            Err(cause) => {
                self.go_to(before)?;
                Err(HistoryError::NoRecord(seq.0, cause.to_string()))
            }
        }
    }

    /// The next record as the bytes that stand for it in the tree; `None` when no whole one is there yet.
    pub fn leaf(&mut self) -> Result<Option<(Seq, &[u8])>, HistoryError> {
        loop {
            let seq = match &mut self.source {
                Source::Sealed(reader) => match reader.read()? {
                    Some((seq, leaf)) => {
                        self.leaf.clear();
                        self.leaf.extend_from_slice(leaf);
                        Some(Seq(seq))
                    }
                    None => None,
                },
                Source::Hot(reader) => match reader.leaf() {
                    Ok(Some((seq, leaf))) => {
                        self.leaf.clear();
                        self.leaf.extend_from_slice(leaf);
                        Some(seq)
                    }
                    Ok(None) => return Ok(None),
                    Err(error) => {
                        if !is_elsewhere(&error) || !self.is_sealed(self.next)? {
                            return Err(error.into());
                        }
                        None
                    }
                },
            };
            if let Some(seq) = seq {
                self.next = Seq(seq.0.saturating_add(1));
                return Ok(Some((seq, &self.leaf)));
            }
            if !self.find(self.next)? {
                return Ok(None);
            }
        }
    }

    /// Passes over records until `seq` is next, or the first after it that is there. `false`: the log ends before it.
    pub fn skip_to(&mut self, seq: Seq) -> Result<bool, HistoryError> {
        if let Source::Hot(reader) = &mut self.source
            && reader.next() <= seq
        {
            match reader.skip_to(seq) {
                Ok(reached) => {
                    self.next = reader.next();
                    return Ok(reached);
                }
                Err(error) if self.log.is_some() && is_elsewhere(&error) => {}
                Err(other) => return Err(other.into()),
            }
        }
        match self.find(seq) {
            Ok(true) => Ok(true),
            Ok(false) => Ok(self.next >= seq),
            Err(HistoryError::Log(LogError::Gone { next, .. })) => self.find(Seq(next)),
            Err(other) => Err(other),
        }
    }

    /// Goes to where the last `count` records begin.
    pub fn go_to_last(&mut self, count: u64) -> Result<(), HistoryError> {
        let end = self.end()?;
        self.skip_to(Seq(end.0.saturating_sub(count))).map(|_| ())
    }

    /// Number behind the last record that is there now, as [`Reader::end`] counts it.
    pub fn end(&self) -> Result<Seq, HistoryError> {
        let of_sealed = |reader: &SealedReader| Seq(reader.last_seq() + 1);
        let Some(log) = &self.log else {
            return match &self.source {
                Source::Sealed(reader) => Ok(of_sealed(reader)),
                Source::Hot(reader) => Ok(reader.end()?),
            };
        };
        match Reader::open(log) {
            Ok(reader) => Ok(reader.end()?),
            Err(LogError::Missing(_)) => match files(&place::sealed(log))?.last() {
                Some(file) => Ok(of_sealed(&SealedReader::open(&file.path)?)),
                None => Ok(self.next),
            },
            Err(other) => Err(other.into()),
        }
    }

    /// Where the next record starts.
    pub fn mark(&self) -> Mark {
        Mark {
            next: self.next,
            hot: match &self.source {
                Source::Sealed(_) => None,
                Source::Hot(reader) => Some(reader.mark()),
            },
        }
    }

    /// Goes back to a place in the same log.
    pub fn go_to(&mut self, mark: Mark) -> Result<(), HistoryError> {
        if let (Source::Hot(reader), Some(hot)) = (&mut self.source, mark.hot)
            && reader.go_to(hot).is_ok()
        {
            self.next = mark.next;
            return Ok(());
        }
        if let Source::Sealed(reader) = &mut self.source
            && reader.skip_to(mark.next.0)
        {
            self.next = mark.next;
            return Ok(());
        }
        self.skip_to(mark.next).map(|_| ())
    }

    /// Passes over sealed files in which every record is older than `since_ns`, from where it stands at the beginning of one.
    pub fn skip_older(&mut self, since_ns: u64) -> Result<(), HistoryError> {
        if since_ns == 0 {
            return Ok(());
        }
        while let Source::Sealed(reader) = &self.source
            && self.next.0 == reader.first_seq()
            && latest_ns(reader.path())? < since_ns
        {
            let behind = Seq(reader.last_seq() + 1);
            if !self.skip_to(behind)? || self.next < behind {
                break;
            }
        }
        Ok(())
    }

    /// Goes on behind records that are not there, after [`LogError::Gone`].
    pub fn pass_gap(&mut self) -> Result<(), HistoryError> {
        if let Source::Hot(reader) = &mut self.source {
            reader.pass_gap()?;
            self.next = reader.next();
            return Ok(());
        }
        match self.find(self.next) {
            Err(HistoryError::Log(LogError::Gone { next, .. })) => self.find(Seq(next)).map(|_| ()),
            found => found.map(|_| ()),
        }
    }

    /// Bytes of a slot that was reserved and not completed, as of the last look that found no record.
    pub fn unfinished(&self) -> u64 {
        match &self.source {
            Source::Sealed(_) => 0,
            Source::Hot(reader) => reader.unfinished(),
        }
    }

    /// Waits, for `at_most`, until there is more to read, or until no one reads `outlet` any more.
    pub fn wait(
        &mut self,
        outlet: Option<BorrowedFd<'_>>,
        at_most: Duration,
    ) -> Result<Wait, HistoryError> {
        let until = Instant::now() + at_most;
        loop {
            if let Source::Hot(reader) = &mut self.source {
                let left = until.saturating_duration_since(Instant::now());
                match reader.wait(outlet, left) {
                    Err(error) if self.log.is_some() && is_elsewhere(&error) => {}
                    waited => return Ok(waited?),
                }
            }
            // Behind a sealed file, or where a segment was: what comes next is elsewhere, or to come.
            match self.find(self.next) {
                Ok(true) | Err(HistoryError::Log(LogError::Gone { .. })) => return Ok(Wait::More),
                Ok(false) => {}
                Err(other) => return Err(other),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Wait::Quiet);
            }
            let path = self.log.clone().unwrap_or_default();
            let paused = pause(outlet, left.min(LOOK_EVERY));
            if paused.map_err(|cause| LogError::Open { path, cause })? {
                return Ok(Wait::OutletClosed);
            }
        }
    }

    /// Leaves this file for the one that now has its name: at the same place where that is the same segment, else at the log's
    /// first record.
    pub fn reopen(&mut self) -> Result<(), HistoryError> {
        if let Source::Hot(reader) = &mut self.source {
            reader.reopen()?;
            self.next = reader.next();
        }
        Ok(())
    }

    /// Makes `seq` the next record. `false`: it is not there yet, and neither is any after it. [`LogError::Gone`]: it is not
    /// there, and later ones are.
    fn find(&mut self, seq: Seq) -> Result<bool, HistoryError> {
        let Some(log) = self.log.clone() else {
            return match &mut self.source {
                Source::Sealed(reader) => {
                    let found = reader.skip_to(seq.0);
                    self.next = if found {
                        seq
                    } else {
                        Seq(reader.last_seq() + 1)
                    };
                    Ok(found)
                }
                Source::Hot(reader) => {
                    let found = reader.skip_to(seq)?;
                    self.next = reader.next();
                    Ok(found)
                }
            };
        };
        // What is sealed between two looks is in one of them.
        let mut last = None;
        for _ in 0..LOOKS {
            let sealed = files(&place::sealed(&log))?;
            let holds = sealed.partition_point(|file| file.first <= seq.0);
            let mut end = None;
            if let Some(file) = holds.checked_sub(1).and_then(|at| sealed.get(at)) {
                match SealedReader::open(&file.path) {
                    Ok(mut reader) => {
                        end = Some(reader.last_seq() + 1);
                        if reader.skip_to(seq.0) {
                            (self.source, self.next) = (Source::Sealed(Box::new(reader)), seq);
                            return Ok(true);
                        }
                    }
                    // Pruned since.
                    Err(ringfence_archive::ArchiveError::Io { cause, .. })
                        if cause.kind() == io::ErrorKind::NotFound =>
                    {
                        continue;
                    }
                    Err(other) => return Err(other.into()),
                }
            }
            let later = sealed.get(holds).map(|file| Seq(file.first));
            let mut reader = match Reader::open(&log) {
                Ok(reader) => reader,
                Err(LogError::Missing(_)) => {
                    return match later {
                        Some(next) => Err(gone(&log, seq, next)),
                        None => {
                            self.next = end.map_or(self.next, Seq);
                            Ok(false)
                        }
                    };
                }
                Err(error) if is_elsewhere(&error) => {
                    last = Some(error);
                    continue;
                }
                Err(other) => return Err(other.into()),
            };
            match later {
                // A gap among sealed files: what is in segments comes after them.
                Some(next) if next < reader.next() => return Err(gone(&log, seq, next)),
                _ => {}
            }
            if seq < reader.next() {
                // It was sealed between the two looks, or it is gone.
                if files(&place::sealed(&log))? != sealed {
                    last = None;
                    continue;
                }
                return Err(gone(&log, seq, reader.next()));
            }
            match reader.skip_to(seq) {
                Ok(true) => {
                    (self.next, self.source) = (reader.next(), Source::Hot(reader));
                    return Ok(true);
                }
                Ok(false) => {
                    (self.next, self.source) = (reader.next(), Source::Hot(reader));
                    return Ok(false);
                }
                Err(error) if is_elsewhere(&error) => last = Some(error),
                Err(other) => return Err(other.into()),
            }
        }
        Err(last.map_or_else(|| HistoryError::Gone(seq.0), HistoryError::Log))
    }

    /// Whether a sealed file holds a record.
    fn is_sealed(&self, seq: Seq) -> Result<bool, HistoryError> {
        let Some(log) = &self.log else {
            return Ok(false);
        };
        let sealed = files(&place::sealed(log))?;
        let holds = sealed.iter().rev().find(|file| file.first <= seq.0);
        Ok(match holds {
            Some(file) => SealedReader::open(&file.path)?.last_seq() >= seq.0,
            None => false,
        })
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("log", &self.log)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Whether a segment is not where it was: it may have been sealed.
fn is_elsewhere(error: &LogError) -> bool {
    match error {
        LogError::Gone { .. } => true,
        LogError::Open { cause, .. } => cause.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn gone(log: &Path, seq: Seq, next: Seq) -> HistoryError {
    HistoryError::Log(LogError::Gone {
        path: hot_directory(log),
        from: seq.0,
        next: next.0,
    })
}
