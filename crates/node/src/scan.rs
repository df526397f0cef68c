//! Whether anything in the configuration has changed, seen from outside: names, sizes, times, never contents.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ringfence_model::load::is_resource;
use sha2::{Digest, Sha256};

use crate::limits::{SCAN_DEPTH_MAX, SCAN_ENTRIES_MAX};

/// What a look at the configuration saw. Two that are equal mean that nothing was touched in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    hash: [u8; 32],
    /// The files that count, as far as they are files.
    pub(crate) files: Vec<PathBuf>,
    /// Device and inode of the directory itself, if it is there.
    pub(crate) root: Option<(u64, u64)>,
}

impl Fingerprint {
    /// Looks at the directory `config` and at the files `others`.
    pub(crate) fn take(config: &Path, others: &[PathBuf]) -> Self {
        let root = fs::metadata(config)
            .ok()
            .filter(Metadata::is_dir)
            .map(|meta| (meta.dev(), meta.ino()));
        let mut walk = Walk {
            hash: Sha256::new(),
            files: Vec::new(),
            entries: 0,
            directories: BTreeSet::new(),
        };
        walk.look_at(config, 0);
        for path in others {
            walk.look_at(path, SCAN_DEPTH_MAX + 1);
        }
        Self {
            hash: walk.hash.finalize().into(),
            files: walk.files,
            root,
        }
    }
}

struct Walk {
    hash: Sha256,
    files: Vec<PathBuf>,
    entries: usize,
    directories: BTreeSet<(u64, u64)>,
}

impl Walk {
    fn look_at(&mut self, path: &Path, depth: usize) {
        self.entries += 1;
        self.hash.update(path.as_os_str().as_bytes());
        self.hash.update([0]);
        // The link itself and what it leads to: either may be exchanged.
        for meta in [fs::symlink_metadata(path), fs::metadata(path)] {
            match meta {
                Ok(meta) => self.note(&meta),
                Err(error) => self
                    .hash
                    .update(error.raw_os_error().unwrap_or(-1).to_be_bytes()),
            }
        }
        let Ok(meta) = fs::metadata(path) else { return };
        if meta.is_file() {
            self.files.push(path.to_owned());
        }
        let fresh = meta.is_dir()
            && depth <= SCAN_DEPTH_MAX
            && self.directories.insert((meta.dev(), meta.ino()));
        if !fresh {
            return;
        }
        match fs::read_dir(path) {
            Ok(entries) => {
                // What does not count takes no place of what does.
                let mut names: Vec<PathBuf> = entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|name| counts(name))
                    .take(SCAN_ENTRIES_MAX)
                    .collect();
                names.sort();
                for name in names {
                    if self.entries >= SCAN_ENTRIES_MAX {
                        return;
                    }
                    self.look_at(&name, depth + 1);
                }
            }
            Err(error) => self
                .hash
                .update(error.raw_os_error().unwrap_or(-1).to_be_bytes()),
        }
    }

    fn note(&mut self, meta: &Metadata) {
        let mut facts = vec![
            i128::from(meta.dev()),
            i128::from(meta.ino()),
            i128::from(meta.mode()),
            i128::from(meta.uid()),
        ];
        // A directory's own times change with every temporary file of an editor; its entries tell all that counts.
        if !meta.is_dir() {
            facts.extend([
                i128::from(meta.size()),
                i128::from(meta.mtime()),
                i128::from(meta.mtime_nsec()),
                i128::from(meta.ctime()),
                i128::from(meta.ctime_nsec()),
            ]);
        }
        for fact in facts {
            self.hash.update(fact.to_be_bytes());
        }
    }
}

/// Whether an entry of a directory can be part of the configuration: a resource file, or a directory that may hold some.
/// What editors leave for a moment is neither, and a log that somebody writes beside the files keeps nobody waiting.
fn counts(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    if name.as_bytes().starts_with(b".") {
        return false;
    }
    is_resource(&name.to_string_lossy()) || fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_counts_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let config = temp.path().join("config");
        let pem = temp.path().join("ca.pem");
        fs::create_dir_all(config.join("team")).unwrap();
        fs::write(config.join("team/a.yaml"), "one").unwrap();
        fs::write(&pem, "one").unwrap();
        let look = || Fingerprint::take(&config, std::slice::from_ref(&pem));
        let mut before = look();
        assert_eq!(before, look());
        let mut changed = |what: &str, expected: bool| {
            let now = look();
            assert_eq!(before != now, expected, "{what}");
            before = now;
        };
        fs::write(config.join(".a.yaml.swp"), "x").unwrap();
        for left in ["a.yaml~", "4913", "#a.yaml#", "sedX1y2Z3", "audit.log"] {
            fs::write(config.join(left), "x").unwrap();
        }
        std::os::unix::fs::symlink("me@host.1:2", config.join(".#a.yaml")).unwrap();
        changed("an editor's temporary files", false);
        fs::write(config.join("team/a.yaml"), "two").unwrap();
        changed("same size, other content", true);
        fs::write(config.join("new"), "two").unwrap();
        fs::rename(config.join("new"), config.join("team/a.yaml")).unwrap();
        changed("atomic rename", true);
        fs::write(&pem, "two").unwrap();
        changed("certificate file", true);
        fs::remove_file(&pem).unwrap();
        changed("certificate file gone", true);
        fs::rename(&config, temp.path().join("away")).unwrap();
        changed("directory gone", true);
        fs::rename(temp.path().join("away"), &config).unwrap();
        changed("directory back", true);
    }

    #[test]
    fn looks_as_deep_as_the_loader_reads_and_no_deeper() {
        let temp = tempfile::tempdir().unwrap();
        let mut directory = temp.path().to_owned();
        let mut made = Vec::new();
        for depth in 0..SCAN_DEPTH_MAX + 3 {
            let file = directory.join("a.yaml");
            // An empty one is refused.
            fs::write(&file, "x\n").unwrap();
            made.push(file);
            directory.push(format!("d{depth}"));
            fs::create_dir(&directory).unwrap();
        }
        let seen = Fingerprint::take(temp.path(), &[]).files;
        assert_eq!(seen.len(), SCAN_DEPTH_MAX + 1);
        let sources = ringfence_model::load::read(temp.path());
        let loaded: Vec<PathBuf> = sources
            .texts()
            .map(|(name, _)| temp.path().join(name))
            .collect();
        assert!(loaded.len() > SCAN_DEPTH_MAX, "{loaded:?}");
        for file in &made {
            assert!(
                seen.contains(file) || !loaded.contains(file),
                "{} is loaded, and not watched",
                file.display()
            );
        }
    }

    #[test]
    fn looks_at_so_many_entries_and_is_not_led_away_by_what_does_not_count() {
        let temp = tempfile::tempdir().unwrap();
        let of = |files: usize, name: &dyn Fn(usize) -> String| {
            let directory = temp.path().join(name(0));
            fs::create_dir(&directory).unwrap();
            let one = temp.path().join(".one");
            for number in 0..files {
                // A file has so many names at most.
                if number % 10_000 == 0 {
                    let _ = fs::remove_file(&one);
                    fs::write(&one, "").unwrap();
                }
                fs::hard_link(&one, directory.join(name(number))).unwrap();
            }
            directory
        };
        // The directory itself is an entry.
        let full = of(SCAN_ENTRIES_MAX + 5, &|number| format!("{number}.yaml"));
        let files = Fingerprint::take(&full, &[]).files.len();
        assert_eq!(files, SCAN_ENTRIES_MAX - 1);
        let littered = of(SCAN_ENTRIES_MAX + 5, &|number| format!("{number}.log"));
        fs::write(littered.join("a.yaml"), "").unwrap();
        let files = Fingerprint::take(&littered, &[]).files;
        assert_eq!(files, [littered.join("a.yaml")]);
    }

    #[test]
    fn a_loop_of_links_ends() {
        let temp = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(temp.path(), temp.path().join("again")).unwrap();
        std::os::unix::fs::symlink("self", temp.path().join("self")).unwrap();
        assert_eq!(
            Fingerprint::take(temp.path(), &[]),
            Fingerprint::take(temp.path(), &[])
        );
    }
}
