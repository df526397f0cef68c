//! Files of our own that survive a crash at any moment: whole old or whole new, never half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::NodeError;
use crate::limits::STATE_FILE_MAX;

/// Whether a file must survive the machine, or only the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Synced to the disk before the name changes hands, and the directory after.
    Machine,
    /// In the page cache.
    Process,
}

/// Writes `bytes` as `dir/name`, mode 0600, replacing what was there in one step.
pub(crate) fn replace(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.new"));
    let written = write(dir, name, &temporary, bytes, durability);
    if written.is_err() {
        // On a full disk, what did not fit is only in the way.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write(
    dir: &Path,
    name: &str,
    temporary: &Path,
    bytes: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
        .open(temporary)?;
    file.write_all(bytes)?;
    if durability == Durability::Machine {
        file.sync_all()?;
    }
    fs::rename(temporary, dir.join(name))?;
    if durability == Durability::Machine {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// As [`replace`], for a value as JSON.
pub(crate) fn replace_json<T: Serialize>(
    dir: &Path,
    name: &str,
    value: &T,
    durability: Durability,
) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    replace(dir, name, &bytes, durability)
}

/// Reads `dir/name`. `None`: it was never written.
pub(crate) fn read_json<T: DeserializeOwned>(
    dir: &Path,
    name: &str,
    fix: &str,
) -> Result<Option<T>, NodeError> {
    let path: PathBuf = dir.join(name);
    let damaged = |what: String| NodeError::Damaged {
        file: path.clone(),
        what,
        fix: fix.to_owned(),
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(STATE_FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(error.to_string()))?;
    if bytes.len() as u64 > STATE_FILE_MAX {
        return Err(damaged(format!("it is larger than {STATE_FILE_MAX} bytes")));
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_replacement_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        replace_json(dir.path(), "a.json", &vec![1, 2, 3], Durability::Machine).unwrap();
        // What a crash between write and rename leaves behind.
        fs::write(dir.path().join(".a.json.new"), b"[1, 2").unwrap();
        assert_eq!(
            read_json::<Vec<u32>>(dir.path(), "a.json", "-").unwrap(),
            Some(vec![1, 2, 3])
        );
        replace_json(dir.path(), "a.json", &vec![4], Durability::Machine).unwrap();
        assert_eq!(
            read_json::<Vec<u32>>(dir.path(), "a.json", "-").unwrap(),
            Some(vec![4])
        );
    }

    #[test]
    fn damage_is_an_error_and_absence_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            read_json::<Vec<u32>>(dir.path(), "a.json", "-").unwrap(),
            None
        );
        fs::write(dir.path().join("a.json"), b"[1, 2").unwrap();
        let error = read_json::<Vec<u32>>(dir.path(), "a.json", "move it away").unwrap_err();
        assert!(
            matches!(&error, NodeError::Damaged { fix, .. } if fix == "move it away"),
            "{error}"
        );
    }
}
