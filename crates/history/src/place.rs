//! Where things are in the directory of a log, beside its segments.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ringfence_audit::plain;
use ringfence_audit::tree::STATEMENT_MAX;

/// Where in the directory of a log its sealed files are.
pub const SEALED: &str = "sealed";
/// What the node signed of the oldest records, among the sealed files.
const PRUNED: &str = "pruned";
/// What the name of the statement about a sealed file ends in, in the place of the file's own ending.
const STATEMENT: &str = "sealed";
/// A sealed file that has not been read back yet.
const UNCHECKED: &str = "unchecked";

pub(crate) fn sealed(log: &Path) -> PathBuf {
    log.join(SEALED)
}

pub(crate) fn pruned(log: &Path) -> PathBuf {
    sealed(log).join(PRUNED)
}

/// What is said of the sealed file `path`.
pub(crate) fn statement(path: &Path) -> PathBuf {
    path.with_extension(STATEMENT)
}

/// The sealed file `path` on its way.
pub(crate) fn unchecked(path: &Path) -> PathBuf {
    path.with_extension(UNCHECKED)
}

/// A statement; `None`: there is no such file.
pub(crate) fn read_statement(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match plain::follow(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    // One byte more is no statement.
    file.take(STATEMENT_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
