//! The state directory: private, ours alone, one node at a time.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::NodeError;
use crate::lock::{self, Lock};

/// Name of the directory with the flow log.
const LOG: &str = "log";

/// Where the state is when nobody says otherwise: `/var/lib/ringfence` for root, else `ringfence` under the XDG
/// state directory.
pub fn default_dir() -> Result<PathBuf, NodeError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/ringfence"));
    }
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    match (absolute("XDG_STATE_HOME"), absolute("HOME")) {
        (Some(state), _) => Ok(state.join("ringfence")),
        (None, Some(home)) => Ok(home.join(".local/state/ringfence")),
        (None, None) => Err(NodeError::NoHome),
    }
}

/// A state directory that is private to this user and locked by this process until dropped.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    id: (u64, u64),
    _lock: Lock,
}

impl State {
    /// Creates `dir` where it is missing, checks owner and mode, takes the lock.
    pub(crate) fn open(dir: &Path) -> Result<Self, NodeError> {
        if let Some(parent) = dir.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .map_err(|error| {
                    NodeError::io(
                        format!("create {}", parent.display()),
                        error,
                        "name another place with `--state DIR`",
                    )
                })?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(NodeError::io(
                    format!("create the state directory {}", dir.display()),
                    error,
                    "name another place with `--state DIR`",
                ));
            }
        }
        let dir = fs::canonicalize(dir).map_err(|error| {
            NodeError::io(
                format!("open {}", dir.display()),
                error,
                "name another place with `--state DIR`",
            )
        })?;
        let id = inspect(&dir, rustix::process::geteuid().as_raw())?;
        let lock = lock::take(&dir)?;
        let state = Self {
            dir,
            id,
            _lock: lock,
        };
        state.make_private(LOG)?;
        Ok(state)
    }

    /// The directory, absolute and without symbolic links.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Device and inode: another directory of the same name is another state.
    pub(crate) fn id(&self) -> (u64, u64) {
        self.id
    }

    /// Where the flow log is.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    fn make_private(&self, name: &str) -> Result<(), NodeError> {
        let path = self.dir.join(name);
        let made = match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            }
            other => other,
        };
        made.map_err(|error| {
            NodeError::io(
                format!("prepare {}", path.display()),
                error,
                "move what is there away",
            )
        })
    }
}

/// Refuses what is no private directory of `owner`. Gives device and inode.
pub(crate) fn inspect(dir: &Path, owner: u32) -> Result<(u64, u64), NodeError> {
    let fault = |what: &str, fix: String| {
        Err(NodeError::State {
            dir: dir.to_owned(),
            what: what.to_owned(),
            fix,
        })
    };
    let meta = fs::metadata(dir).map_err(|error| {
        NodeError::io(
            format!("look at {}", dir.display()),
            error,
            "name another place with `--state DIR`",
        )
    })?;
    if !meta.is_dir() {
        return fault(
            "is not a directory",
            "name another place with `--state DIR`".to_owned(),
        );
    }
    if meta.uid() != owner {
        return fault(
            &format!(
                "belongs to uid {}, and this node runs as uid {owner}",
                meta.uid()
            ),
            format!(
                "start the node as its owner, give it away with `chown {owner} {}`, or use another `--state DIR`",
                dir.display()
            ),
        );
    }
    if meta.mode() & 0o077 != 0 {
        return fault(
            &format!("is open to others (mode {:04o})", meta.mode() & 0o7777),
            format!("close it with `chmod 700 {}`", dir.display()),
        );
    }
    Ok((meta.dev(), meta.ino()))
}

/// The configuration directory by a name that stays the same when the directory is replaced: its parent without
/// symbolic links, and its own last component as given.
pub(crate) fn config_path(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    match (
        absolute.parent().map(fs::canonicalize),
        absolute.file_name(),
    ) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => fs::canonicalize(&absolute).unwrap_or(absolute),
    }
}

/// Refuses a state directory inside the configuration directory, and the other way round: one is read as
/// policy, the other is written by the node.
pub(crate) fn keep_apart(state: &Path, config: &Path) -> Result<(), NodeError> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| config_path(path));
    let (state, config) = (real(state), real(config));
    if state.starts_with(&config) || config.starts_with(&state) {
        return Err(NodeError::State {
            dir: state,
            what: format!(
                "and the configuration directory {} lie inside one another",
                config.display()
            ),
            fix: "keep them apart: name another place with `--state DIR` or `--config DIR`"
                .to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creates_a_private_directory() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b/state");
        let state = State::open(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(
            fs::metadata(state.log_dir()).unwrap().mode() & 0o7777,
            0o700
        );
    }

    #[test]
    fn a_second_node_is_refused_and_told_who_is_there() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("state");
        let first = State::open(&dir).unwrap();
        let error = State::open(&dir).unwrap_err();
        assert!(
            matches!(error, NodeError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
            "{error}"
        );
        assert!(error.fix().contains("kill"), "{}", error.fix());
        drop(first);
        State::open(&dir).unwrap();
    }

    #[test]
    fn refuses_a_directory_open_to_others() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("state");
        fs::create_dir(&dir).unwrap();
        for mode in [0o755, 0o710, 0o701] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            let error = State::open(&dir).unwrap_err();
            assert!(error.fix().contains("chmod 700"), "{mode:o}: {error}");
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        State::open(&dir).unwrap();
    }

    #[test]
    fn refuses_a_directory_of_somebody_else() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root can give a directory away.
        }
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("state");
        DirBuilder::new().mode(0o700).create(&dir).unwrap();
        std::os::unix::fs::chown(&dir, Some(12345), None).unwrap();
        let error = State::open(&dir).unwrap_err();
        assert!(error.to_string().contains("uid 12345"), "{error}");
    }

    #[test]
    fn state_and_configuration_keep_apart() {
        let temp = tempfile::tempdir().unwrap();
        let (config, state) = (temp.path().join("config"), temp.path().join("state"));
        fs::create_dir_all(config.join("inner")).unwrap();
        fs::create_dir_all(state.join("inner")).unwrap();
        keep_apart(&state, &config).unwrap();
        for (state, config) in [
            (config.join("inner"), config.clone()),
            (state.clone(), state.join("inner")),
            (state.clone(), state.clone()),
        ] {
            assert!(
                keep_apart(&state, &config).is_err(),
                "{} {}",
                state.display(),
                config.display()
            );
        }
        std::os::unix::fs::symlink(&config, temp.path().join("link")).unwrap();
        assert!(keep_apart(&config.join("inner"), &temp.path().join("link")).is_err());
    }

    #[test]
    fn the_name_of_a_configuration_survives_its_absence() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("config");
        fs::create_dir(&dir).unwrap();
        let before = config_path(&dir);
        fs::remove_dir(&dir).unwrap();
        assert_eq!(config_path(&dir), before);
    }
}
