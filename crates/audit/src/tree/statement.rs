//! What the node says of the log beside its tree, signed with the same key: which file holds which records, and what was
//! pruned.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use signed_note::{Note, Signer as _, StandardSigner};

use super::key;
use super::note::{CheckpointError, signed_text};
use super::store::{at, put_durably};
use super::{Stretch, TreeError};

/// First line of what is said of a sealed file. No log has such a name, so none of these passes for a checkpoint.
const SEALED: &str = "ringfence.dev/flow-log/sealed/v1";
/// First line of what is said of records that were pruned.
const PRUNED: &str = "ringfence.dev/flow-log/pruned/v1";
/// Longest statement, checkpoint or verifier key that is read.
pub const STATEMENT_MAX: u64 = 16 * 1024;

/// That a file holds records of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedStatement {
    /// The records.
    pub records: Stretch,
    /// SHA-256 of all bytes of the file.
    pub sha256: [u8; 32],
}

/// That the oldest records were removed on somebody's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedStatement {
    /// The first record that was kept.
    pub before: u64,
    /// When, RFC 3339.
    pub time: String,
    /// On whose word.
    pub by: String,
}

/// Signs statements with the key of a log.
pub struct Notary {
    signer: StandardSigner,
    public: String,
}

impl Notary {
    /// With the key of the log in `directory`, which must have one.
    pub fn open(directory: &Path) -> Result<Self, TreeError> {
        let (signer, public) = key::existing(directory)?;
        Ok(Self { signer, public })
    }

    /// The verifier key.
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// Says durably, as `path`, what a sealed file holds.
    pub fn say_sealed(&self, path: &Path, said: &SealedStatement) -> Result<(), TreeError> {
        let mut hash = String::new();
        for byte in said.sha256 {
            let _never_fails = write!(hash, "{byte:02x}");
        }
        let Stretch { from, to } = said.records;
        self.put(path, SEALED, &format!("{from} {to}\n{hash}\n"))
    }

    /// Says durably, as `path`, what was pruned.
    pub fn say_pruned(&self, path: &Path, said: &PrunedStatement) -> Result<(), TreeError> {
        let by: String = (said.by.chars())
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        self.put(
            path,
            PRUNED,
            &format!("{}\n{}\n{by}\n", said.before, said.time),
        )
    }

    fn put(&self, path: &Path, kind: &str, rest: &str) -> Result<(), TreeError> {
        let other = |what: &dyn std::fmt::Display| at(path)(io::Error::other(what.to_string()));
        let text = format!("{kind}\n{}\n{rest}", self.signer.name());
        let mut note = Note::new(text.as_bytes(), &[]).map_err(|e| other(&e))?;
        note.add_sigs(&[&self.signer]).map_err(|e| other(&e))?;
        put_durably(path, &note.to_bytes()).map_err(at(path))
    }
}

impl std::fmt::Debug for Notary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notary")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// Reads what [`Notary::say_sealed`] said with the key that `public` verifies.
pub fn sealed_statement(bytes: &[u8], public: &str) -> Result<SealedStatement, CheckpointError> {
    let rest = open(bytes, public, SEALED)?;
    let mut lines = rest.lines();
    let mut read = || {
        let (from, to) = lines.next()?.split_once(' ')?;
        let records = Stretch {
            from: from.parse().ok()?,
            to: to.parse().ok()?,
        };
        let sha256 = unhex(lines.next()?)?;
        (lines.next().is_none() && records.from < records.to)
            .then_some(SealedStatement { records, sha256 })
    };
    read().ok_or(CheckpointError::Malformed)
}

/// Reads what [`Notary::say_pruned`] said with the key that `public` verifies.
pub fn pruned_statement(bytes: &[u8], public: &str) -> Result<PrunedStatement, CheckpointError> {
    let rest = open(bytes, public, PRUNED)?;
    let mut lines = rest.lines().map(str::to_owned);
    let mut read = || {
        let before = lines.next()?.parse().ok()?;
        let (time, by) = (lines.next()?, lines.next()?);
        (lines.next().is_none()).then_some(PrunedStatement { before, time, by })
    };
    read().ok_or(CheckpointError::Malformed)
}

/// The text behind the first two lines of a note of `kind`, which the key's log must have signed.
fn open(bytes: &[u8], public: &str, kind: &str) -> Result<String, CheckpointError> {
    if bytes.len() as u64 > STATEMENT_MAX {
        return Err(CheckpointError::Malformed);
    }
    let (text, name) = signed_text(bytes, public)?;
    let text = std::str::from_utf8(&text).map_err(|_| CheckpointError::Malformed)?;
    let rest = text
        .strip_prefix(kind)
        .and_then(|rest| rest.strip_prefix('\n'))
        .ok_or(CheckpointError::Malformed)?;
    let (log, rest) = rest.split_once('\n').ok_or(CheckpointError::Malformed)?;
    if log != name {
        return Err(CheckpointError::Origin(log.to_owned(), name));
    }
    Ok(rest.to_owned())
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{CHECKPOINT, Keeper, PUBLIC_KEY};

    fn notary() -> (tempfile::TempDir, Notary) {
        let directory = tempfile::tempdir().unwrap();
        Keeper::open(directory.path(), "node").unwrap();
        let notary = Notary::open(directory.path()).unwrap();
        (directory, notary)
    }

    #[test]
    fn what_was_said_comes_back_and_anything_else_does_not() {
        let (directory, notary) = notary();
        let (path, public) = (directory.path().join("note"), notary.public_key());
        let said = SealedStatement {
            records: Stretch { from: 5, to: 9 },
            sha256: [0xa5; 32],
        };
        notary.say_sealed(&path, &said).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(sealed_statement(&bytes, public), Ok(said));
        assert!(pruned_statement(&bytes, public).is_err());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(sealed_statement(&flipped, public).is_err(), "byte {at}");
        }
        let (_other, foreign) = self::notary();
        assert!(sealed_statement(&bytes, foreign.public_key()).is_err());

        let said = PrunedStatement {
            before: 7,
            time: "2026-11-29T00:00:00Z".to_owned(),
            by: "uid 0".to_owned(),
        };
        notary.say_pruned(&path, &said).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(pruned_statement(&bytes, public), Ok(said));
        assert!(sealed_statement(&bytes, public).is_err());
    }

    #[test]
    fn a_checkpoint_is_no_statement_and_no_statement_is_a_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        Keeper::open(directory.path(), "node")
            .unwrap()
            .turn()
            .unwrap();
        let public = std::fs::read_to_string(directory.path().join(PUBLIC_KEY)).unwrap();
        let checkpoint = std::fs::read(directory.path().join(CHECKPOINT)).unwrap();
        assert!(sealed_statement(&checkpoint, &public).is_err());
        let notary = Notary::open(directory.path()).unwrap();
        let path = directory.path().join("note");
        let said = PrunedStatement {
            before: 0,
            time: String::new(),
            by: String::new(),
        };
        notary.say_pruned(&path, &said).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(crate::tree::note::open(&bytes, &public).is_err());
    }
}
