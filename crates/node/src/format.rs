//! Which shape the files of the state directory have. A binary that does not know it leaves them alone.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::NodeError;
use crate::persist::{self, Durability};

/// Name of the file in the state directory.
const FILE: &str = "format.json";

/// The newest shape that this binary knows. It reads all earlier ones.
///
/// A field that an earlier binary may pass over does not make a new shape: it is read where it is there, and has a
/// default where it is not. What an earlier binary would misread does. It is written as long as it is needed, so that
/// the way back is open otherwise.
const FORMAT: u32 = WITH_QUARANTINES;
/// The first.
pub(crate) const FIRST: u32 = 1;
/// Somebody is in quarantine, whom a binary of the first shape would let go.
pub(crate) const WITH_QUARANTINES: u32 = 2;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    format: u32,
    /// Version of the binary that wrote it, for people.
    written_by: String,
}

/// Refuses a state directory that a newer binary wrote. Changes nothing.
pub(crate) fn check(dir: &Path) -> Result<(), NodeError> {
    read(dir).map(drop)
}

/// As [`check`], and writes down that from now on it has the shape `needed`. The caller holds the lock.
pub(crate) fn claim(dir: &Path, needed: u32) -> Result<(), NodeError> {
    check(dir)?;
    write(dir, needed).map_err(|error| {
        NodeError::io(
            format!("write {}", dir.join(FILE).display()),
            error,
            "make room in the state directory",
        )
    })
}

/// Makes sure that no binary serves it that does not know the shape `needed`.
pub(crate) fn raise(dir: &Path, needed: u32) -> io::Result<()> {
    if needed > written(dir) {
        return write(dir, needed);
    }
    Ok(())
}

/// Lets earlier binaries in again that know the shape `needed`.
pub(crate) fn lower(dir: &Path, needed: u32) -> io::Result<()> {
    if needed < written(dir) {
        return write(dir, needed);
    }
    Ok(())
}

/// What is claimed now.
fn written(dir: &Path) -> u32 {
    let found = read(dir).ok().flatten();
    found.map_or(0, |found| found.format)
}

fn write(dir: &Path, format: u32) -> io::Result<()> {
    let ours = Format {
        format,
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
    };
    if read(dir).is_ok_and(|found| found.as_ref() == Some(&ours)) {
        return Ok(());
    }
    persist::replace_json(dir, FILE, &ours, Durability::Machine)
}

/// `None`: nothing was written there yet, or only by the first version, which wrote no such file.
fn read(dir: &Path) -> Result<Option<Format>, NodeError> {
    let fix = "move it away if the state is of this version of ringfence or an earlier one";
    let found: Option<Format> = persist::read_json(dir, FILE, fix)?;
    match found {
        Some(Format { format, written_by }) if format > FORMAT => Err(NodeError::State {
            dir: dir.to_owned(),
            what: format!(
                "was written by a newer ringfence, {written_by}, in format {format}; this one, {}, knows up to {FORMAT}",
                env!("CARGO_PKG_VERSION")
            ),
            fix: "start that version, or a newer one; with a fresh `--state DIR` this one starts too, and gives every \
                  name another address"
                .to_owned(),
        }),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_state_is_taken_up_and_a_newer_one_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        claim(dir.path(), FIRST).unwrap();
        let written = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(written.contains("\"format\":1"), "{written}");
        claim(dir.path(), FIRST).unwrap();
        let newer = "{\"format\":3,\"writtenBy\":\"9.1.0\",\"more\":[]}";
        std::fs::write(dir.path().join(FILE), newer).unwrap();
        for refused in [check(dir.path()), claim(dir.path(), FIRST)] {
            let error = refused.unwrap_err();
            assert!(
                error.to_string().contains("newer ringfence, 9.1.0"),
                "{error}"
            );
        }
        assert_eq!(
            std::fs::read_to_string(dir.path().join(FILE)).unwrap(),
            newer
        );
    }
}
