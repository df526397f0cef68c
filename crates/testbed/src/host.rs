//! A simulated host: namespaces of its own, with a first process that ends when we do.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Output, Process, TestbedError};

/// The ordinary user of a host when the tests run as root. Exists in no `/etc/passwd`, on purpose.
const ORDINARY: u32 = 54321;
/// What a command of the simulation itself may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// First process of a host. Says its pid as the outside sees it, then waits for the end of its stdin.
const FIRST: &str = r#"
set -e
read -r pid rest </proc/self/stat
mount -t proc proc /proc
mount -t tmpfs -o mode=755 none /run
ip link set lo up
echo "$pid"
exec cat
"#;

/// As whom a node and its launchers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Root of the machine. Only where the tests themselves run as root.
    Root,
    /// An ordinary user without any capability.
    Ordinary,
}

impl Caller {
    /// Those that can be simulated here: both as root, else the ordinary user.
    pub fn available() -> Vec<Self> {
        if is_root() {
            vec![Self::Root, Self::Ordinary]
        } else {
            vec![Self::Ordinary]
        }
    }

    /// Whoever runs the tests.
    pub fn own() -> Self {
        if is_root() {
            Self::Root
        } else {
            Self::Ordinary
        }
    }
}

fn uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or(u32::MAX, |own| own.uid())
}

fn is_root() -> bool {
    uid() == 0
}

/// Network, mount, pid and ipc namespaces with a loopback device and an empty `/run`, and a directory that is removed at the end.
pub struct Host {
    first: Child,
    pid: u32,
    caller: Caller,
    /// Holds the user namespace in which an ordinary runner of the tests is an ordinary user again.
    anchor: Option<(Child, u32)>,
    directory: tempfile::TempDir,
}

impl Host {
    /// Makes a host whose commands run as `caller`.
    pub fn new(caller: Caller) -> Result<Self, TestbedError> {
        // On disk rather than on a tmpfs: a root launcher maps the owner of work directories, which tmpfs learned late.
        let directory = tempfile::Builder::new()
            .prefix("ringfence-host-")
            .tempdir_in("/var/tmp")
            .map_err(TestbedError::io("a directory in /var/tmp"))?;
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--mount",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child",
        ]);
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["sh", "-c", FIRST]);
        let (first, pid) = start_anchor(command)?;
        let mut host = Self {
            first,
            pid,
            caller,
            anchor: None,
            directory,
        };
        if !is_root() {
            let uid = uid().to_string();
            let mut command = host.enter();
            command.args([
                "unshare",
                "--user",
                &format!("--map-user={uid}"),
                &format!("--map-group={uid}"),
            ]);
            command.args(["sh", "-c", "echo $$; exec cat"]);
            host.anchor = Some(start_anchor(command)?);
        }
        host.open_directory()?;
        Ok(host)
    }

    fn open_directory(&self) -> Result<(), TestbedError> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
            .map_err(TestbedError::io(path.display().to_string()))?;
        self.own(path)
    }

    /// A directory of this host that its caller may write to. On the machine's disk; removed at the end.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// As whom commands run.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// Makes a directory for the caller below [`Host::path`].
    pub fn directory(&self, name: &str) -> Result<PathBuf, TestbedError> {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).map_err(TestbedError::io(path.display().to_string()))?;
        self.own(&path)?;
        Ok(path)
    }

    /// Gives a file to the caller.
    pub fn own(&self, path: &Path) -> Result<(), TestbedError> {
        if is_root() && self.caller == Caller::Ordinary {
            std::os::unix::fs::chown(path, Some(ORDINARY), Some(ORDINARY))
                .map_err(TestbedError::io(path.display().to_string()))?;
        }
        Ok(())
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &self.pid.to_string(),
            "--net",
            "--mount",
            "--pid",
            "--ipc",
        ]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--");
        command
    }

    /// A command line that runs in this host as root of it: for mounts, addresses, packet capture.
    pub fn as_root<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.enter();
        command.args(words);
        command
    }

    /// A command line that runs in this host as its caller, with the pid it has there in `pid_file`.
    pub fn as_caller<S: AsRef<OsStr>>(
        &self,
        pid_file: Option<&Path>,
        words: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.enter();
        match (&self.anchor, self.caller) {
            // The uid needs no change: it is mapped to itself there. The capabilities end with the next exec.
            (Some((_, anchor)), _) => {
                let anchor = anchor.to_string();
                command.args([
                    "nsenter",
                    "-t",
                    &anchor,
                    "--user",
                    "--preserve-credentials",
                    "--",
                ]);
            }
            (None, Caller::Ordinary) => {
                let id = ORDINARY.to_string();
                command.args([
                    "setpriv",
                    "--reuid",
                    &id,
                    "--regid",
                    &id,
                    "--clear-groups",
                    "--inh-caps=-all",
                    "--",
                ]);
            }
            (None, Caller::Root) => {}
        }
        // Ends with the `nsenter` in front of it, so that dropping a [`Process`] ends what it stands for. Set last: a
        // change of credentials would undo it.
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
        if let Some(file) = pid_file {
            command
                .args(["sh", "-c", r#"echo $$ >"$0"; exec "$@""#])
                .arg(file);
        }
        command.args(words);
        // What a user would have; nothing of the runner of the tests.
        command.env_clear().envs([
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("HOME", "/nonexistent"),
            ("USER", "tester"),
            ("LANG", "C.UTF-8"),
        ]);
        command
    }

    /// Runs a command as root of the host and waits for it.
    pub fn run_as_root<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<Output, TestbedError> {
        Process::start(
            "a command of the host",
            self.as_root(words),
            Some(Vec::new()),
        )?
        .wait(COMMAND_LIMIT)
    }

    /// Runs a command as the caller and waits for it.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<Output, TestbedError> {
        Process::start(
            "a command of the caller",
            self.as_caller(None, words),
            Some(Vec::new()),
        )?
        .wait(COMMAND_LIMIT)
    }

    /// Starts a command as the caller, with stdin open.
    pub fn start<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<Process, TestbedError> {
        Process::start("a process of the caller", self.as_caller(None, words), None)
    }

    /// Starts a command as root of the host, with stdin open.
    pub fn start_as_root<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<Process, TestbedError> {
        Process::start("a process of the host", self.as_root(words), None)
    }

    /// Signals a process of this host by the pid it has there.
    pub fn signal(&self, signal: &str, pid: u32) -> Result<(), TestbedError> {
        let sent =
            self.run_as_root(["sh", "-c", r#"kill -s "$0" "$1""#, signal, &pid.to_string()])?;
        if sent.code == Some(0) {
            return Ok(());
        }
        Err(TestbedError::Answer {
            what: format!("kill -s {signal} {pid}"),
            said: sent.stderr,
        })
    }

    /// Processes of this host, those in compartments included: pid there, command line. Ended ones do not count.
    pub fn processes(&self) -> Result<Vec<(u32, String)>, TestbedError> {
        let script = r#"for d in /proc/[0-9]*; do
            [ "${d#/proc/}" = $$ ] && continue
            line=$(tr '\0\n' '  ' <$d/cmdline) 2>/dev/null || continue
            [ -n "$line" ] && echo "${d#/proc/} $line"
        done; true"#;
        let listing = self.run_as_root(["sh", "-c", script])?;
        Ok(listing
            .stdout
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(_, words)| !words.starts_with("cat ") && words.trim() != "cat")
            .filter_map(|(pid, words)| Some((pid.parse().ok()?, words.trim().to_owned())))
            .collect())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for child in self
            .anchor
            .iter_mut()
            .map(|anchor| &mut anchor.0)
            .chain([&mut self.first])
        {
            child.stdin = None;
            // Ends by itself when its stdin does; `kill` is for one that hangs, an error means that it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a process that prints its pid and then stays until its stdin ends.
fn start_anchor(mut command: Command) -> Result<(Child, u32), TestbedError> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(TestbedError::io("unshare (util-linux)"))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(TestbedError::io("the first process of a host"))?;
    }
    if let Ok(pid) = line.trim().parse() {
        return Ok((child, pid));
    }
    child.stdin = None;
    let ended = child
        .wait_with_output()
        .map_err(TestbedError::io("the first process of a host"))?;
    Err(TestbedError::Host {
        said: format!("{line}{}", String::from_utf8_lossy(&ended.stderr)),
    })
}
