//! Which records are where.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use ringfence_archive::{SealedReader, files};
use ringfence_audit::{LogError, Reader, Seq};
use ringfence_model::flow::Flow;

use crate::HistoryError;

/// Where in the directory of a log its sealed files are.
pub const SEALED: &str = "sealed";

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
        // Before the sealed files are listed: what is sealed meanwhile is then there twice, and told apart by its numbers.
        let mut reader = match Reader::open(log) {
            Ok(reader) => Some(reader),
            Err(LogError::Missing(_)) => None,
            Err(other) => return Err(other.into()),
        };
        let sealed = sealed_files(&log.join(SEALED))?;
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
            (_, Some(next)) => next,
            (None, None) => 0,
            (Some(reader), None) => first_of(reader)?,
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
        let mut reader = Reader::open(&self.log).map_err(HistoryError::from)?;
        reader
            .skip_to(Seq(self.hot.start))
            .map_err(HistoryError::from)?;
        for expected in self.hot.clone() {
            let (seq, flow) = reader
                .read()
                .map_err(HistoryError::from)?
                .ok_or(HistoryError::Gone(expected))?;
            if seq.0 != expected {
                return Err(HistoryError::Gone(expected).into());
            }
            if each(seq.0, &flow)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The oldest record that is not sealed, where none is: not 0 in a log that was pruned.
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
            && before.records.end != records.start
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
