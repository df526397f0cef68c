//! Which records are where.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use ringfence_archive::{SealedReader, files};
use ringfence_audit::{LogError, Reader, Seq};
use ringfence_model::flow::Flow;

use crate::{HistoryError, Records, place};

/// How often a log is looked at that a node seals meanwhile.
const LOOKS: u32 = 5;

/// A sealed file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Where it is.
    pub path: PathBuf,
    /// The records it holds.
    pub records: Range<u64>,
}

/// The log as it was when it was opened: what comes later is not in it, however often it is read.
#[derive(Clone, Debug)]
pub struct History {
    log: PathBuf,
    sealed: Vec<Sealed>,
    hot: Range<u64>,
}

impl History {
    /// Looks at the log in the directory `log`.
    pub fn open(log: &Path) -> Result<Self, HistoryError> {
        let mut looks = 1;
        loop {
            match Self::look(log) {
                // A segment was sealed between two steps of the look.
                Err(HistoryError::Log(LogError::Open { cause, .. }))
                    if cause.kind() == std::io::ErrorKind::NotFound && looks < LOOKS => {}
                Ok(history) if !history.missing().is_empty() && looks < LOOKS => {}
                looked => return looked,
            }
            looks += 1;
        }
    }

    fn look(log: &Path) -> Result<Self, HistoryError> {
        // Before the sealed files are listed: what is sealed meanwhile is then there twice, and told apart by its numbers.
        let mut reader = match Reader::open(log) {
            Ok(reader) => Some(reader),
            Err(LogError::Missing(_)) => None,
            Err(other) => return Err(other.into()),
        };
        let sealed = sealed_files(&place::sealed(log))?;
        if sealed.is_empty() && reader.is_none() {
            return Err(HistoryError::NoLog(log.to_owned()));
        }
        let next = sealed.last().map(|file| file.records.end);
        let mut end = 0;
        if let Some(reader) = &mut reader {
            reader.go_to_last(1)?;
            end = reader.read()?.map_or(0, |(seq, _)| seq.0 + 1);
        }
        let first = match (&mut reader, next) {
            (None, next) => next.unwrap_or(0),
            (Some(reader), next) => first_of(reader)?.max(next.unwrap_or(0)),
        };
        Ok(Self {
            log: log.to_owned(),
            sealed,
            hot: first..end.max(first),
        })
    }

    /// The sealed files, in order, each beginning where the one before it ends.
    pub fn sealed(&self) -> &[Sealed] {
        &self.sealed
    }

    /// The records after them.
    pub fn hot(&self) -> Range<u64> {
        self.hot.clone()
    }

    /// Records between others that are here, and are not here themselves: they were lost, or taken away.
    pub fn missing(&self) -> Vec<Range<u64>> {
        let starts = self.sealed.iter().map(|file| file.records.clone());
        let all: Vec<Range<u64>> = starts.chain([self.hot.clone()]).collect();
        all.windows(2)
            .map(|pair| pair[0].end..pair[1].start)
            .filter(|gap| !gap.is_empty())
            .collect()
    }

    /// All records.
    pub fn records(&self) -> Range<u64> {
        let first = self
            .sealed
            .first()
            .map_or(self.hot.start, |file| file.records.start);
        first..self.hot.end
    }

    /// Hands out the records that are not sealed, in order, until `each` has enough.
    pub fn each_hot<E: From<HistoryError>>(
        &self,
        mut each: impl FnMut(u64, &Flow) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        if self.hot.is_empty() {
            return Ok(());
        }
        // What is sealed meanwhile is read there.
        let mut records = Records::open(&self.log)?;
        records.skip_to(Seq(self.hot.start))?;
        while records.next().0 < self.hot.end {
            match records.read() {
                Ok(Some((seq, flow))) => {
                    if each(seq.0, &flow)?.is_break() {
                        break;
                    }
                }
                Ok(None) => return Err(HistoryError::Gone(records.next().0).into()),
                Err(HistoryError::Log(LogError::Gone { .. })) => records.pass_gap()?,
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }
}

/// The oldest record that is in a segment: not 0 in a log that was pruned.
fn first_of(reader: &mut Reader) -> Result<u64, HistoryError> {
    reader.skip_to(Seq(0))?;
    Ok(reader.read()?.map_or(0, |(seq, _)| seq.0))
}

/// The sealed files, each where its name and the one before it say.
fn sealed_files(directory: &Path) -> Result<Vec<Sealed>, HistoryError> {
    let mut sealed: Vec<Sealed> = Vec::new();
    for file in files(directory)? {
        let reader = SealedReader::open(&file.path)?;
        let records = reader.first_seq()..reader.last_seq() + 1;
        let misplaced = |what: String| HistoryError::Misplaced {
            path: file.path.clone(),
            what,
        };
        if records.start != file.first {
            return Err(misplaced(format!(
                "it begins with record {}",
                records.start
            )));
        }
        if let Some(before) = sealed.last()
            && before.records.end > records.start
        {
            let end = before.records.end;
            return Err(misplaced(format!(
                "the file before it ends before record {end}"
            )));
        }
        sealed.push(Sealed {
            path: file.path,
            records,
        });
    }
    Ok(sealed)
}
