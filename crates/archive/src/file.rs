//! Names of sealed files, and how one comes to have its name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::ArchiveError;

/// What the name of a sealed file ends in.
pub const EXTENSION: &str = "parquet";
/// A file that is not whole yet has this behind its name, so that nobody takes it for one.
const UNFINISHED: &str = "sealing";
const FILE_MODE: u32 = 0o600;
const DIGITS: usize = 20;

/// Name of the file whose first record is `first`: twenty digits, so that names sort as records do.
pub fn file_name(first: u64) -> String {
    format!("{first:0DIGITS$}.{EXTENSION}")
}

/// A sealed file in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedFile {
    /// Its first record, by its name.
    pub first: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// The sealed files of a directory in order; none when there is no such directory. Files with other names are passed over.
pub fn files(directory: &Path) -> Result<Vec<SealedFile>, ArchiveError> {
    let io = |cause| ArchiveError::Io {
        path: directory.to_owned(),
        cause,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(io(cause)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io)?;
        if let Some(first) = entry.file_name().to_str().and_then(first_of) {
            found.push(SealedFile {
                first,
                path: entry.path(),
            });
        }
    }
    found.sort();
    Ok(found)
}

fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits {
        digits.parse().ok()
    } else {
        None
    }
}

/// A file on its way to its name. What a crash leaves is overwritten by the next attempt.
pub(crate) struct Unfinished {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    named: bool,
}

impl Unfinished {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".");
        temporary.push(UNFINISHED);
        let temporary = PathBuf::from(temporary);
        match fs::remove_file(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&temporary)?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file,
            named: false,
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// On disk, whole, then under its name, and that on disk as well.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.named = true;
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.named {
            // Half a file is of no use to anybody; the next attempt would remove it as well.
            let _best_effort = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_twenty_digits() {
        assert_eq!(file_name(0), "00000000000000000000.parquet");
        assert_eq!(file_name(u64::MAX), "18446744073709551615.parquet");
        assert_eq!(first_of(&file_name(12_345)), Some(12_345));
        for other in [
            "1.parquet",
            "00000000000000000001.parquet.sealing",
            "0000000000000000000x.parquet",
            "+0000000000000000001.parquet",
            "99999999999999999999.parquet",
        ] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }
}
