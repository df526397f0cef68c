//! From a directory of YAML files to an [`Estate`](crate::Estate), or to all that is wrong with it at once.
//!
//! What comes in: bytes that anyone may have damaged. What goes out: checked resources, or [`Diagnostics`] that name file,
//! line and column, show the text and say what to do. Never a part of an estate.
//!
//! The way: `files.rs` reads the directory within bounds and never blocks · `tree.rs` makes a tree with positions of each
//! document · `fields.rs` takes a mapping apart by the tables of `shapes.rs`, of which `schema.rs` makes the JSON Schema · `service.rs`, `agent.rs`, `policy.rs`,
//! `guardrail.rs` and `test.rs` read one kind each, `record.rs` what may be read in the log · `cross.rs` puts the documents together, `checks.rs` checks what needs more than one of them.

mod agent;
mod checks;
mod common;
mod cross;
mod fields;
mod files;
mod guardrail;
mod policy;
mod record;
mod report;
mod schema;
mod service;
mod shapes;
mod test;
#[cfg(test)]
mod tests;
mod tree;

use std::path::Path;

pub use files::{Digest, Sources, is_resource, read};

pub use schema::schema;

use crate::{Diagnostics, Estate};

/// The version of the resource files.
pub const API_VERSION: &str = "ringfence.dev/v1alpha1";
/// Largest file, in bytes. A larger one is an error, and is not read.
pub const FILE_MAX: u64 = 1024 * 1024;
/// Largest sum of files, in bytes. The file that crosses it is an error, and the rest is not read.
pub const TOTAL_MAX: u64 = 64 * 1024 * 1024;
/// Most files and directories. More is an error.
pub const FILES_MAX: usize = 10_000;
/// Deepest nesting of directories. A deeper one is an error, and is not entered.
pub const DIRECTORY_DEPTH_MAX: usize = 32;
/// Deepest nesting of lists and mappings within a document. Deeper is an error.
pub const NESTING_MAX: usize = 32;
/// Most values of one file, aliases counted as often as they are used. More is an error.
pub const VALUES_MAX: u32 = 1_000_000;
/// Longest free text (`owner`, `purpose`, `reason`), in bytes. Longer is an error.
pub const TEXT_MAX: usize = 1024;
/// Longest condition, in bytes. Longer is an error.
pub const CONDITION_MAX: usize = 4096;
/// Most labels of one workload. More is an error.
pub const LABELS_MAX: usize = 64;
/// Longest key or value of a label, in bytes. Longer is an error.
pub const LABEL_MAX: usize = 256;
/// Most names in each list of `record`. More is an error.
pub const RECORDED_MAX: usize = 32;
/// Most errors of one load that are told. The last one then says how many there are.
pub const DIAGNOSTICS_MAX: usize = 1_000;

/// What a directory holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The resources.
    pub estate: Estate,
    /// Of names and bytes of the files, so that a change can be told.
    pub digest: Digest,
}

/// Loads a directory: `*.yaml` and `*.yml`, recursively, without hidden files and editors' temporary ones.
///
/// Reads the disk. Relative paths of PEM files become absolute, from the directory.
pub fn directory(path: &Path) -> Result<Loaded, Diagnostics> {
    let sources = read(path);
    let estate = sources.load()?;
    Ok(Loaded {
        estate,
        digest: sources.digest(),
    })
}

/// Loads documents from memory: file names and their bytes. Relative paths of PEM files stay relative.
pub fn documents(files: &[(&str, &[u8])]) -> Result<Estate, Diagnostics> {
    Sources::from_memory(files).load()
}
