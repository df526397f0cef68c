//! Which program a compartment would start: looked for on the host, through the trees that it would show.
//!
//! The real search happens inside, see `inside::program`. This one answers alike where it can know: it follows the
//! same `PATH`, sees what is shown and nothing else, and follows `#!` lines and loaders.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access as Right, AtFlags, Mode, OFlags};

use crate::error::{OrRefuse, Refusal};
use crate::inside::program::{INTERPRETERS_MAX, Missing, Pinned, interpreter};
use crate::root::{Access, Plan, Tree, WORK};

/// A program that would be found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As the workload would name it.
    pub(super) inside: PathBuf,
    /// The file itself, links followed, on the host.
    pub(super) file: PathBuf,
}

impl Found {
    /// It is the file that the node was shown, and holds the claim to.
    pub(super) fn insist(&self, shown: Option<&OwnedFd>) -> Result<(), Refusal> {
        const WHAT: &str = "the check of the program";
        const FIX: &str = "try again when nobody changes the program";
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.file, flags, Mode::empty()).or_refuse(WHAT, FIX)?;
        let same = match shown {
            Some(shown) => {
                Pinned::of(shown).or_refuse(WHAT, FIX)? == Pinned::of(&file).or_refuse(WHAT, FIX)?
            }
            None => false,
        };
        if same {
            Ok(())
        } else {
            Err(Pinned::another(&self.inside.to_string_lossy()))
        }
    }
}

/// What a workload would see.
pub(super) struct View<'a> {
    pub(super) plan: &'a Plan,
    /// It would run as a user of its own, whom no file of the host belongs to.
    pub(super) stranger: bool,
}

impl View<'_> {
    /// The program for `command`, looked for in `path` (as of `PATH`) if it has no slash.
    pub(super) fn locate(&self, command: &OsStr, path: &OsStr) -> Result<Found, Missing> {
        let found = if command.as_bytes().contains(&b'/') {
            // Without the dots of `./agent`.
            let inside: PathBuf = Path::new(WORK).join(command).components().collect();
            let file = (self.executable(&inside))
                .map_err(|cause| Missing::new(command, Path::new(command), &cause))?;
            Found { inside, file }
        } else {
            self.search(command, path)?
        };
        self.check_needs(command, &found)?;
        Ok(found)
    }

    fn search(&self, command: &OsStr, path: &OsStr) -> Result<Found, Missing> {
        let mut refused = None;
        for directory in std::env::split_paths(path) {
            let inside = Path::new(WORK).join(directory).join(command);
            match self.executable(&inside) {
                Ok(file) => return Ok(Found { inside, file }),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => {
                    refused.get_or_insert_with(|| Missing::new(command, &inside, &cause));
                }
            }
        }
        Err(refused.unwrap_or_else(|| {
            Missing::new(command, Path::new(command), &io::ErrorKind::NotFound.into())
        }))
    }

    fn check_needs(&self, command: &OsStr, found: &Found) -> Result<(), Missing> {
        let (mut by, mut file) = (found.inside.clone(), found.file.clone());
        for _ in 0..INTERPRETERS_MAX {
            // Not readable, or of a format we do not know: the kernel will tell.
            let Ok(Some(next)) = interpreter(&file) else {
                return Ok(());
            };
            let inside = Path::new(WORK).join(&next);
            file = self.executable(&inside).map_err(|cause| {
                let mut missing = Missing::new(command, &next, &cause);
                missing.needed_by = Some(by.clone());
                missing
            })?;
            by = next;
        }
        Ok(())
    }

    /// The file at this path inside, if the workload may execute it.
    fn executable(&self, inside: &Path) -> io::Result<PathBuf> {
        let (host, tree) = self.on_host(inside).ok_or(io::ErrorKind::NotFound)?;
        let file = std::fs::canonicalize(host)?;
        // A link may lead to where nothing is shown, or to something that is shown elsewhere.
        let shown = |it: &Tree| it.source == it.target && file.starts_with(&it.source);
        let tree = if file.starts_with(&tree.source) {
            tree
        } else {
            let trees = self.plan.trees.iter().rev();
            (trees.into_iter().find(|it| shown(it))).ok_or(io::ErrorKind::NotFound)?
        };
        let found = std::fs::metadata(&file)?;
        if found.is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if self.stranger {
            // In a tree that it may write, the tree's owner is the workload's user.
            let owner = tree.access == Access::Write
                && std::fs::metadata(&tree.source)?.uid() == found.uid();
            let bit = if owner { 0o100 } else { 0o001 };
            if found.permissions().mode() & bit == 0 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        } else {
            rustix::fs::accessat(rustix::fs::CWD, &file, Right::EXEC_OK, AtFlags::EACCESS)?;
        }
        Ok(file)
    }

    /// Where on the host a path inside is, and in which tree.
    fn on_host(&self, inside: &Path) -> Option<(PathBuf, &Tree)> {
        let linked = self.plan.links.iter().find_map(|(name, target)| {
            let below = inside.strip_prefix(name).ok()?;
            Some(Path::new("/").join(target).join(below))
        });
        let inside = linked.as_deref().unwrap_or(inside);
        // Later ones lie on top.
        self.plan.trees.iter().rev().find_map(|tree| {
            let below = inside.strip_prefix(&tree.target).ok()?;
            let host = match below.as_os_str() {
                // Joining nothing would ask for a directory.
                empty if empty.is_empty() => tree.source.clone(),
                _ => tree.source.join(below),
            };
            Some((host, tree))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND};
    use crate::launch::trial_grant;

    const PATH: &str = "/nowhere:/usr/bin:/bin";

    /// The program, or the exit code of `run`.
    fn look(
        command: &str,
        workdir: Option<&Path>,
        stranger: bool,
    ) -> Result<(PathBuf, PathBuf), u8> {
        let plan = Plan::rehearse(&trial_grant(None), workdir).unwrap();
        let view = View {
            plan: &plan,
            stranger,
        };
        view.locate(OsStr::new(command), OsStr::new(PATH))
            .map(|found| (found.inside, found.file))
            .map_err(|missing| missing.refusal(|_| None).code)
    }

    fn write(file: &Path, text: &str, mode: u32) {
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn finds_what_the_compartment_would_find() {
        let sh = std::fs::canonicalize("/bin/sh").unwrap();
        let found = look("sh", None, true).unwrap();
        assert_eq!(found, ("/usr/bin/sh".into(), sh.clone()));
        assert_eq!(look("/bin/sh", None, true).unwrap().1, sh);
        for command in [
            "no-such-program",
            "/usr/bin/no-such",
            "/etc/passwd",
            "/tmp/x",
            "./agent",
        ] {
            assert_eq!(look(command, None, true), Err(EXIT_NOT_FOUND), "{command}");
        }
        assert_eq!(look("/usr", None, true), Err(EXIT_NOT_EXECUTABLE));
    }

    #[test]
    fn sees_the_work_directory_at_its_place_and_nothing_of_what_is_not_shown() {
        let place = tempfile::tempdir().unwrap();
        let work = place.path().canonicalize().unwrap().join("work");
        let hidden = work.with_file_name("hidden");
        std::fs::create_dir(&work).unwrap();
        write(&work.join("agent"), "#!/bin/sh\n", 0o755);
        write(&hidden, "#!/bin/sh\n", 0o755);
        std::os::unix::fs::symlink(&hidden, work.join("out")).unwrap();
        write(&work.join("orphan"), "#!/nowhere/python3 -u\n", 0o755);
        write(&work.join("text"), "x", 0o644);
        for command in ["./agent", "/work/agent"] {
            let (inside, file) = look(command, Some(&work), false).unwrap();
            assert_eq!(
                (inside.to_str(), file),
                (Some("/work/agent"), work.join("agent"))
            );
        }
        let hidden = hidden.to_str().unwrap().to_owned();
        for command in [&*hidden, "./out", "./orphan", "./none"] {
            let code = look(command, Some(&work), false);
            assert_eq!(code, Err(EXIT_NOT_FOUND), "{command}");
        }
        for stranger in [true, false] {
            let code = look("./text", Some(&work), stranger);
            assert_eq!(code, Err(EXIT_NOT_EXECUTABLE), "{stranger}");
        }
    }
}
