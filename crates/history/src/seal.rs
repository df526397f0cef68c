//! Seals what the log has left behind: segments that are closed and signed become files that stay.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ringfence_archive::{ArchiveError, SealedReader, Sealer, file_name};
use ringfence_audit::tree::{Known, Notary, SealedStatement, Stretch, TreeError, sealed_statement};
use ringfence_audit::{ClosedSegment, LogError, Reader, Seq, closed_segments, plain};
use sha2::{Digest, Sha256};

use crate::place;

/// Bytes of a file that are hashed at a time.
const CHUNK: usize = 256 * 1024;
/// Records between two looks whether sealing is to go on.
const LOOK_EVERY: u64 = 4096;

/// Why a segment was not sealed. It stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The segment cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The tree, its checkpoint or its key cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The sealed file cannot be made, or does not give back what went in.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Another file cannot be made or read.
    #[error("{path}: {cause}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It was told to leave it.
    #[error("sealing was stopped")]
    Stopped,
    /// Segments that are sealed stay where they are.
    #[error(
        "the segments of the records before {before} are sealed, and the enforcer has not removed them"
    )]
    Kept {
        /// That record.
        before: u64,
    },
    /// The segment, or what became of it, is not what was signed.
    #[error("{path}: record {seq} is not the one that was signed; `ringfence audit verify` tells more", path = .path.display())]
    Unsigned {
        /// In which file.
        path: PathBuf,
        /// Which.
        seq: u64,
    },
}

/// Seals the segments of one log. There may be one at a time; the node's lock on its state sees to that.
#[derive(Debug)]
pub struct Sealing {
    log: PathBuf,
    /// All before this is sealed, as far as it was looked at.
    sealed: Seq,
}

impl Sealing {
    /// Of the log in the directory `log`.
    pub fn new(log: &Path) -> Self {
        Self {
            log: log.to_owned(),
            sealed: Seq(0),
        }
    }

    /// All records before this one are sealed, as far as is known.
    pub fn sealed(&self) -> Seq {
        self.sealed
    }

    /// Seals the oldest segment that is closed, signed and not sealed, as long as it is to `go_on`. `None`: there is none.
    pub fn turn(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<Stretch>, SealError> {
        let closed = closed_segments(&self.log)?;
        let Some(oldest) = closed.iter().find(|segment| segment.first >= self.sealed) else {
            return Ok(None);
        };
        let Some(mut known) = Known::open(&self.log)? else {
            return Ok(None);
        };
        if oldest.before.0 > known.size() {
            return Ok(None);
        }
        let notary = Notary::open(&self.log)?;
        let path = place::sealed(&self.log).join(file_name(oldest.first.0));
        let records = match standing(&path, &notary)? {
            Some(records) if records.to <= oldest.before.0 => records,
            _ => seal(oldest, &path, &mut known, &notary, go_on)?,
        };
        self.sealed = oldest.before;
        Ok(Some(records))
    }

    /// Segments whose records all come before this are sealed, and can be removed. `None`: there is no such segment.
    pub fn to_release(&self) -> Result<Option<Seq>, LogError> {
        let closed = closed_segments(&self.log)?;
        Ok(closed
            .iter()
            .rev()
            .map(|segment| segment.before)
            .find(|before| *before <= self.sealed))
    }
}

/// The records of a sealed file that is there, as it was signed.
fn standing(path: &Path, notary: &Notary) -> Result<Option<Stretch>, SealError> {
    let statement = place::statement(path);
    let said = place::read_statement(&statement).map_err(at(&statement))?;
    let said = said.and_then(|bytes| sealed_statement(&bytes, notary.public_key()).ok());
    let Some(said) = said else {
        return Ok(None);
    };
    match digest(path) {
        Ok(found) => Ok((found == said.sha256).then_some(said.records)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at(path)(e)),
    }
}

fn seal(
    segment: &ClosedSegment,
    path: &Path,
    known: &mut Known,
    notary: &Notary,
    go_on: &dyn Fn() -> bool,
) -> Result<Stretch, SealError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(at(directory)(e)),
        _ => {}
    }
    let unchecked = place::unchecked(path);
    let mut reader = Reader::open_file(&segment.path)?;
    let mut sealer = Sealer::create(segment.first.0, &unchecked)?;
    // Whether a record is the one that was signed is asked of what comes back, once.
    while let Some((seq, leaf)) = reader.leaf()? {
        sealer.push(leaf)?;
        if seq.0.is_multiple_of(LOOK_EVERY) && !go_on() {
            return Err(SealError::Stopped);
        }
    }
    let records = Stretch {
        from: segment.first.0,
        to: reader.next().0,
    };
    // The record it ends before was never written, or is in no segment any more: only what was lost may be missing.
    sealer.finish(known.root(records.to)?)?;
    let checked = check(&unchecked, records, known, go_on);
    if let Err(error) = checked {
        // Of no use to anybody; the segment is still there.
        let _left = fs::remove_file(&unchecked);
        return Err(match error {
            SealError::Unsigned { seq, .. } if !is_signed(segment, Seq(seq), known)? => {
                let path = segment.path.clone();
                SealError::Unsigned { path, seq }
            }
            other => other,
        });
    }
    let sha256 = digest(&unchecked).map_err(at(&unchecked))?;
    let said = SealedStatement { records, sha256 };
    notary.say_sealed(&place::statement(path), &said)?;
    fs::rename(&unchecked, path)
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(at(path))?;
    Ok(records)
}

/// Whether the segment has the record that was signed: if so, it was lost on its way into the file.
fn is_signed(segment: &ClosedSegment, seq: Seq, known: &mut Known) -> Result<bool, SealError> {
    let mut reader = Reader::open_file(&segment.path)?;
    reader.skip_to(seq)?;
    Ok(match reader.leaf()? {
        Some((found, leaf)) => found == seq && known.holds(seq, leaf)?,
        None => false,
    })
}

/// Reads a sealed file back: what it gives must be what was signed.
fn check(
    path: &Path,
    records: Stretch,
    known: &mut Known,
    go_on: &dyn Fn() -> bool,
) -> Result<(), SealError> {
    let mut reader = SealedReader::open(path)?;
    let unsigned = |seq| SealError::Unsigned {
        path: path.to_owned(),
        seq,
    };
    let mut next = records.from;
    while let Some((seq, leaf)) = reader.read()? {
        if seq != next || !known.holds(Seq(seq), leaf)? {
            return Err(unsigned(next));
        }
        next += 1;
        if seq.is_multiple_of(LOOK_EVERY) && !go_on() {
            return Err(SealError::Stopped);
        }
    }
    if next == records.to {
        Ok(())
    } else {
        Err(unsigned(next))
    }
}

/// SHA-256 of all bytes of a file.
pub(crate) fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = plain::follow(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(read) => hash.update(&chunk[..read]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// What went wrong, went wrong with `path`.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> SealError {
    let path = path.to_owned();
    move |cause| SealError::File { path, cause }
}
