//! Checkpoints: how many leaves the tree has and what its root is, as a signed note (C2SP tlog-checkpoint).

use std::io;
use std::path::Path;

use signed_note::{Note, Signer, StandardSigner, VerifierList};
use tlog_tiles::{Checkpoint as Body, Hash};

use super::key::verifier;
use super::statement::STATEMENT_MAX;
use super::store::at;
use super::{PUBLIC_KEY, TreeError};
use crate::plain;

/// Name of the latest checkpoint in the directory of a log.
pub const CHECKPOINT: &str = "checkpoint";
/// Beginning of the extension line that says when it was signed, RFC 3339.
const TIME: &str = "time ";

/// A checkpoint whose signature holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// When it was signed, as its log says; RFC 3339.
    pub time: Option<String>,
}

/// Why a checkpoint is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not in the form.
    #[error("it is no signed note of a tree head")]
    Malformed,
    /// The key is not in the form.
    #[error("the verifier key is none (NAME+ID+KEY, as in key.pub)")]
    Key,
    /// Signed by nobody known, or changed since.
    #[error("its signature does not hold for the key {0}")]
    Signature(String),
    /// It speaks of another log than its key.
    #[error("it is of the log {0}, and the key is of {1}")]
    Origin(String, String),
}

/// Signs the head of a tree.
pub(crate) fn sign(
    signer: &StandardSigner,
    size: u64,
    root: Hash,
    time: &str,
) -> io::Result<Vec<u8>> {
    let other = |what: &dyn std::fmt::Display| io::Error::other(what.to_string());
    let body =
        Body::new(signer.name(), size, root, &format!("{TIME}{time}\n")).map_err(|e| other(&e))?;
    let mut note = Note::new(&body.to_bytes(), &[]).map_err(|e| other(&e))?;
    note.add_sigs(&[signer]).map_err(|e| other(&e))?;
    Ok(note.to_bytes())
}

/// The text of a note that must be signed by the verifier key `public`, and that key's name.
pub(crate) fn signed_text(
    bytes: &[u8],
    public: &str,
) -> Result<(Vec<u8>, String), CheckpointError> {
    let (key, name) = verifier(public).ok_or(CheckpointError::Key)?;
    let note = Note::from_bytes(bytes).map_err(|_| CheckpointError::Malformed)?;
    let keys = VerifierList::new(vec![Box::new(key)]);
    let (good, _unknown) = note
        .verify(&keys)
        .map_err(|_| CheckpointError::Signature(name.clone()))?;
    if good.is_empty() {
        return Err(CheckpointError::Signature(name));
    }
    Ok((note.text().to_vec(), name))
}

/// Reads a checkpoint that must be signed by the verifier key `public`.
pub(crate) fn open(bytes: &[u8], public: &str) -> Result<Checkpoint, CheckpointError> {
    let (text, name) = signed_text(bytes, public)?;
    let body = Body::from_bytes(&text).map_err(|_| CheckpointError::Malformed)?;
    if body.origin() != name {
        return Err(CheckpointError::Origin(body.origin().to_owned(), name));
    }
    let time = body
        .extension()
        .lines()
        .find_map(|line| line.strip_prefix(TIME))
        .map(str::to_owned);
    Ok(Checkpoint {
        origin: name,
        size: body.size(),
        root: *body.hash(),
        time,
    })
}

/// The latest checkpoint of the log in `directory`, as it was signed: it holds for the key beside it.
pub fn checkpoint_text(directory: &Path) -> Result<String, TreeError> {
    let read = |name| {
        let path = directory.join(name);
        plain::text(&path, STATEMENT_MAX).map_err(at(&path))
    };
    let (text, public) = (read(CHECKPOINT)?, read(PUBLIC_KEY)?);
    match open(text.as_bytes(), &public) {
        Ok(_) => Ok(text),
        Err(error) => {
            let path = directory.join(CHECKPOINT);
            Err(TreeError::Inconsistent(format!(
                "{}: {error}",
                path.display()
            )))
        }
    }
}
