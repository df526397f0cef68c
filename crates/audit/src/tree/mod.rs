//! The tree over the log: RFC 6962 hashes, kept as C2SP tlog-tiles, with signed checkpoints.
//!
//! Whoever holds a checkpoint can be shown that a record is in the log ([`proof`]), that the log still begins with what the
//! checkpoint counted ([`verify()`]), and needs to trust nothing of ours for it. The tree grows over completed records only, in
//! another process than the one that writes them ([`Keeper`]): who takes over the writer cannot sign.

mod frontier;
mod keeper;
mod key;
mod known;
mod note;
mod proof;
mod statement;
mod store;
mod verify;

pub use keeper::Keeper;
pub use key::PUBLIC_KEY;
pub use known::Known;
pub use note::{CHECKPOINT, Checkpoint, CheckpointError, checkpoint_text};
pub use proof::{PROOF_MAX, ProofError, check_proof, proof};
pub use statement::{
    Notary, PrunedStatement, STATEMENT_MAX, SealedStatement, pruned_statement, sealed_statement,
};
pub(crate) use verify::CLOCK_SLACK_NS;
pub use verify::{Doubt, Report, Stretch, Verifier, verify};

use std::io;
use std::path::PathBuf;

use crate::LogError;

/// Why the tree does not grow.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file of the tree cannot be read or written.
    #[error("{path}: {cause}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A disk failed: memory has records that it has not.
    #[error(
        "the disk does not have all of records {from} to {to}, although memory has: it failed to write back; they are signed once \
         their writer has written them again"
    )]
    NotOnDisk {
        /// The first that was asked for.
        from: u64,
        /// The last.
        to: u64,
    },
    /// What was signed and what is there do not agree. Nothing more is signed over it.
    #[error(
        "the tree of the flow log is not as it was signed: {0}; `ringfence audit verify` tells more"
    )]
    Inconsistent(String),
}
