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
    let bytes = read(&file, STATE_FILE_MAX).map_err(damaged)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| damaged(error.to_string()))
}

/// All of `file`, if that is no more than `most` bytes; else why not. What is too large is not read.
fn read(file: &File, most: u64) -> Result<Vec<u8>, String> {
    let larger = || format!("it is larger than {most} bytes");
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if meta.len() > most {
        return Err(larger());
    }
    let mut bytes = Vec::new();
    // It may grow meanwhile.
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > most {
        return Err(larger());
    }
    Ok(bytes)
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
    fn a_file_that_is_too_large_is_damaged_and_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("a.json")).unwrap();
        file.set_len(STATE_FILE_MAX + 1).unwrap();
        let error = read_json::<Vec<u32>>(dir.path(), "a.json", "-").unwrap_err();
        let words = format!("larger than {STATE_FILE_MAX} bytes");
        assert!(error.to_string().contains(&words), "{error}");
        // One that is as large as it may be, and one that lies about it, as those of /proc do.
        fs::write(dir.path().join("b"), "1234").unwrap();
        let open = |path: &Path| File::open(path).unwrap();
        assert_eq!(read(&open(&dir.path().join("b")), 4).unwrap(), b"1234");
        assert!(read(&open(&dir.path().join("b")), 3).is_err());
        let lies = Path::new("/proc/self/status");
        assert_eq!(fs::metadata(lies).unwrap().len(), 0);
        assert!(read(&open(lies), 10).unwrap_err().contains("10 bytes"));
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
