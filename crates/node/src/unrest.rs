//! Whether the configuration is whole: nobody is in the middle of writing it.
//!
//! A half-written file can be valid, and say less than it should: without its last document, a guardrail is missing. So
//! a file that somebody has open for writing is not taken, whatever it says; nor are files that git is exchanging.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ringfence_compartment::lease::{Writers, writers};
use rustix::fs::OFlags;

use crate::limits::{SPOTTED_FOR, SPOTTED_MAX};

/// Longest `.git` file that is read, in bytes.
const GIT_FILE_MAX: u64 = 4096;

/// Why the configuration is not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unrest {
    /// It changed while it was read.
    Changing,
    /// Somebody has this file open for writing.
    Writing(PathBuf),
    /// git is changing the work tree; this is its lock.
    Git(PathBuf),
}

impl fmt::Display for Unrest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changing => write!(f, "it never holds still"),
            Self::Writing(file) => {
                write!(f, "{} is open for writing", file.display())?;
                match writer(file) {
                    Some(who) => write!(f, " by {who}"),
                    None => Ok(()),
                }
            }
            Self::Git(lock) => write!(f, "git is at work ({} is there)", lock.display()),
        }
    }
}

impl Unrest {
    /// What to do about it.
    pub(crate) fn fix(&self) -> String {
        match self {
            Self::Changing => "let it rest: write elsewhere, and rename into place".to_owned(),
            Self::Writing(_) => "close it there: it is read as soon as nobody writes it".to_owned(),
            Self::Git(lock) => format!(
                "wait for git; if none runs, remove {}: it is left of one that was killed",
                lock.display()
            ),
        }
    }
}

/// Files that were seen being written and not being closed since. For those whose writers the kernel does not tell.
#[derive(Clone, Default)]
pub(crate) struct Spotted(Arc<Mutex<BTreeMap<PathBuf, Instant>>>);

impl Spotted {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn written(&self, path: &Path) {
        let mut seen = self.lock();
        if seen.len() < SPOTTED_MAX || seen.contains_key(path) {
            seen.insert(path.to_owned(), Instant::now());
        }
    }

    pub(crate) fn closed(&self, path: &Path) {
        self.lock().remove(path);
    }

    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// Not for ever: `truncate(2)` writes to a file that nobody has open.
    fn writes(&self, path: &Path) -> bool {
        let seen = self.lock();
        seen.get(path)
            .is_some_and(|since| since.elapsed() < SPOTTED_FOR)
    }
}

/// What stands against taking `files` of the directory `config` right now.
pub(crate) fn look(config: &Path, files: &[PathBuf], spotted: &Spotted) -> Option<Unrest> {
    if let Some(lock) = git_lock(config) {
        return Some(Unrest::Git(lock));
    }
    let written = files.iter().find(|path| is_written(path, spotted))?;
    Some(Unrest::Writing(written.clone()))
}

fn is_written(path: &Path, spotted: &Spotted) -> bool {
    let wait_for_nothing = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(wait_for_nothing as i32)
        .open(path);
    // What cannot be opened cannot be read either, and is an error there.
    let Ok(file) = file else { return false };
    match writers(&file) {
        Writers::Nobody => false,
        Writers::Somebody => file.metadata().is_ok_and(|meta| meta.is_file()),
        Writers::Unknown => spotted.writes(path),
    }
}

/// git holds it while it exchanges files of a work tree, from before the first to after the last.
fn git_lock(config: &Path) -> Option<PathBuf> {
    let config = fs::canonicalize(config).ok()?;
    let tree = config
        .ancestors()
        .map(|above| above.join(".git"))
        .find(|git| git.exists())?;
    let lock = git_directory(&tree)?.join("index.lock");
    lock.exists().then_some(lock)
}

/// A linked work tree and a submodule have a file that leads there.
fn git_directory(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    if !git.is_file() {
        return None;
    }
    let mut text = String::new();
    let file = File::open(git).ok()?;
    file.take(GIT_FILE_MAX + 1).read_to_string(&mut text).ok()?;
    // Half a path leads elsewhere.
    if text.len() as u64 > GIT_FILE_MAX {
        return None;
    }
    Some(git.parent()?.join(text.strip_prefix("gitdir:")?.trim()))
}

/// Who has `file` open for writing, for people: as far as this user may see.
fn writer(file: &Path) -> Option<String> {
    let wanted = fs::metadata(file).ok()?;
    let wanted = (wanted.dev(), wanted.ino());
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for descriptor in open.filter_map(Result::ok) {
            let same = fs::metadata(descriptor.path())
                .is_ok_and(|meta| (meta.dev(), meta.ino()) == wanted);
            if same && writes(&process.path().join("fdinfo").join(descriptor.file_name())) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(format!("{} (process {pid})", name.trim_end()));
            }
        }
    }
    None
}

/// `flags:` is octal; the lowest two bits are the access mode, 0 for reading only.
fn writes(fdinfo: &Path) -> bool {
    let text = fs::read_to_string(fdinfo).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & 0o3 != 0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_open_file_is_named_with_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "half").unwrap();
        let files = [path.clone()];
        let look = || look(dir.path(), &files, &Spotted::default());
        assert_eq!(look(), None);
        let open = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(look(), Some(Unrest::Writing(path.clone())));
        let said = Unrest::Writing(path.clone()).to_string();
        let me = format!("(process {})", std::process::id());
        assert!(said.contains(&me), "{said}");
        drop(open);
        assert_eq!(look(), None);
    }

    #[test]
    fn what_was_seen_being_written_counts_only_where_the_kernel_says_nothing() {
        let spotted = Spotted::default();
        // A directory has no leases.
        let dumb = Path::new("/");
        assert!(!is_written(dumb, &spotted));
        spotted.written(dumb);
        assert!(is_written(dumb, &spotted));
        spotted.closed(dumb);
        assert!(!is_written(dumb, &spotted));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "all").unwrap();
        spotted.written(&path);
        assert!(!is_written(&path, &spotted));
    }

    #[test]
    fn so_many_files_are_noted_and_for_so_long() {
        let spotted = Spotted::default();
        let path = |number: usize| PathBuf::from(format!("/{number}"));
        for number in 0..SPOTTED_MAX {
            spotted.written(&path(number));
        }
        spotted.written(&path(SPOTTED_MAX));
        assert!(spotted.writes(&path(SPOTTED_MAX - 1)));
        assert!(!spotted.writes(&path(SPOTTED_MAX)));
        // One that is known is noted again, and one that is closed makes room.
        spotted.written(&path(0));
        spotted.closed(&path(1));
        spotted.written(&path(SPOTTED_MAX));
        assert!(spotted.writes(&path(0)) && spotted.writes(&path(SPOTTED_MAX)));
        let long_ago = Instant::now().checked_sub(SPOTTED_FOR).unwrap();
        spotted.lock().insert(path(0), long_ago);
        assert!(!spotted.writes(&path(0)));
        spotted.written(&path(0));
        assert!(spotted.writes(&path(0)));
    }

    #[test]
    fn a_git_file_is_followed_as_long_as_it_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let (config, real) = (dir.path().join("tree"), dir.path().join("real"));
        fs::create_dir(&config).unwrap();
        fs::create_dir(&real).unwrap();
        File::create(real.join("index.lock")).unwrap();
        let longest = GIT_FILE_MAX as usize;
        for (length, followed) in [(0, true), (longest, true), (longest + 1, false)] {
            let text = format!("{:length$}", format!("gitdir: {}", real.display()));
            fs::write(config.join(".git"), text).unwrap();
            assert_eq!(git_lock(&config).is_some(), followed, "{length} bytes");
        }
    }

    #[test]
    fn the_lock_of_git_is_found_from_below_and_through_a_linked_work_tree() {
        let dir = tempfile::tempdir().unwrap();
        let git = |words: &[&str]| {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=t", "-c", "user.email=t@t"])
                .args(words);
            let done = git.current_dir(dir.path()).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        };
        git(&["init", "-q", "main"]);
        git(&["-C", "main", "commit", "-q", "--allow-empty", "-m", "x"]);
        git(&["-C", "main", "worktree", "add", "-q", "../linked"]);
        for (tree, lock) in [
            ("main", "main/.git/index.lock"),
            ("linked", "main/.git/worktrees/linked/index.lock"),
        ] {
            let config = dir.path().join(tree).join("estate");
            fs::create_dir(&config).unwrap();
            assert_eq!(git_lock(&config), None);
            let lock = dir.path().join(lock);
            File::create(&lock).unwrap();
            let found = git_lock(&config).map(|found| fs::canonicalize(found).unwrap());
            assert_eq!(found, Some(fs::canonicalize(&lock).unwrap()), "{tree}");
        }
    }
}
