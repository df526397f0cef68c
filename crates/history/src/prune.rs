//! Prunes: the oldest sealed files go, and what the node signed stays.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ringfence_archive::{ArchiveError, COLUMNS, SealedReader, files};
use ringfence_audit::tree::{Notary, PrunedStatement, Stretch};
use serde::{Deserialize, Serialize};

use crate::seal::at;
use crate::{SealError, place};

/// What is to be kept. What both say to keep is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// Files that have a record of this time or later, nanoseconds since 1970. `None`: of any age.
    pub since_ns: Option<u64>,
    /// The newest files, of so many bytes together at most. `None`: of any size.
    pub bytes: Option<u64>,
}

/// What is pruned, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// Number of the first record that goes.
    pub first: Option<u64>,
    /// Number of the last one.
    pub last: Option<u64>,
    /// Sealed files that go.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Time of the latest record in them, nanoseconds since 1970.
    pub latest_ns: Option<u64>,
    /// Sealed files that stay.
    pub kept_files: usize,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// A sealed file that may go.
struct Candidate {
    path: PathBuf,
    records: Stretch,
    bytes: u64,
}

/// Which sealed files of the log in `log` are to go, the oldest first; never one behind another that stays.
fn chosen(log: &Path, keep: Keep) -> Result<(Vec<Candidate>, Pruned), SealError> {
    let mut all = Vec::new();
    for file in files(&place::sealed(log))? {
        let reader = SealedReader::open(&file.path)?;
        let bytes = fs::metadata(&file.path).map_err(at(&file.path))?.len();
        all.push(Candidate {
            records: Stretch {
                from: reader.first_seq(),
                to: reader.last_seq() + 1,
            },
            path: file.path,
            bytes,
        });
    }
    let mut left: u64 = all.iter().map(|file| file.bytes).sum();
    let mut outcome = Pruned {
        kept_files: all.len(),
        ..Pruned::default()
    };
    let mut go = 0;
    for file in &all {
        let too_much = keep.bytes.is_some_and(|bytes| left > bytes);
        let latest = latest_ns(&file.path)?;
        let too_old = keep.since_ns.is_some_and(|since| latest < since);
        if !too_much && !too_old {
            break;
        }
        left -= file.bytes;
        go += 1;
        outcome.first.get_or_insert(file.records.from);
        outcome.last = Some(file.records.to - 1);
        outcome.files += 1;
        outcome.bytes += file.bytes;
        outcome.kept_files -= 1;
        outcome.latest_ns = outcome.latest_ns.max(Some(latest));
    }
    outcome.kept_bytes = left;
    all.truncate(go);
    Ok((all, outcome))
}

/// Tells what [`prune`] would do.
pub fn prunable(log: &Path, keep: Keep) -> Result<Pruned, SealError> {
    chosen(log, keep).map(|(_, outcome)| outcome)
}

/// Removes the oldest sealed files of the log in `log`, all that `keep` does not keep, on the word of `by`. The tree and its
/// checkpoints stay, and the node signs where the log begins from now on. There may be one at a time, and none beside
/// [`Sealing`](crate::Sealing).
pub fn prune(log: &Path, keep: Keep, by: &str) -> Result<Pruned, SealError> {
    let (files, outcome) = chosen(log, keep)?;
    let Some(last) = files.last() else {
        return Ok(outcome);
    };
    // Said first: a crash between the two leaves files that nobody misses, and not the other way round.
    let said = PrunedStatement {
        before: last.records.to,
        time: format!("{:.0}", Timestamp::now()),
        by: by.to_owned(),
    };
    Notary::open(log)?.say_pruned(&place::pruned(log), &said)?;
    for file in &files {
        fs::remove_file(&file.path).map_err(at(&file.path))?;
        let statement = place::statement(&file.path);
        match fs::remove_file(&statement) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&statement)(e)),
            _ => {}
        }
    }
    let directory = place::sealed(log);
    File::open(&directory)
        .and_then(|open| open.sync_all())
        .map_err(at(&directory))?;
    Ok(outcome)
}

/// Time of the latest record of a sealed file.
pub(crate) fn latest_ns(path: &Path) -> Result<u64, ArchiveError> {
    let time: Vec<usize> = (COLUMNS.iter())
        .position(|column| column.name == "time")
        .into_iter()
        .collect();
    let mut reader = SealedReader::open(path)?;
    let mut latest = 0;
    while let Some(block) = reader.read_columns(&time)? {
        let times = block.numbers(0).unwrap_or_default();
        let here = block.rows().filter_map(|row| times.get(row)).max();
        latest = latest.max(here.map_or(0, |time| time.cast_unsigned()));
    }
    Ok(latest)
}
