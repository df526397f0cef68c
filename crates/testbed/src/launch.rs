//! Starting a program as an agent or service, by `ringfence run` as a user would.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::node::Node;
use crate::{Output, Process, TestbedError};

/// What a workload of a test may take, unless the test says otherwise.
const LIMIT: Duration = Duration::from_secs(60);
/// For the launcher's pid to be written.
const PID_WITHIN: Duration = Duration::from_secs(10);

/// Numbers pid files within one test process.
static LAUNCHES: AtomicU32 = AtomicU32::new(0);

/// One `ringfence run`, in the making.
pub struct Launch<'a> {
    node: &'a Node,
    name: String,
    options: Vec<String>,
    input: Option<Vec<u8>>,
    limit: Duration,
}

impl<'a> Launch<'a> {
    pub(crate) fn new(node: &'a Node, name: &str) -> Self {
        Self {
            node,
            name: name.to_owned(),
            options: Vec::new(),
            input: Some(Vec::new()),
            limit: LIMIT,
        }
    }

    /// Passes `--workdir`.
    #[must_use]
    pub fn workdir(mut self, path: &Path) -> Self {
        self.options
            .extend(["--workdir".to_owned(), path.display().to_string()]);
        self
    }

    /// Passes `--env NAME=VALUE`.
    #[must_use]
    pub fn env(mut self, assignment: &str) -> Self {
        self.options
            .extend(["--env".to_owned(), assignment.to_owned()]);
        self
    }

    /// Passes `--user`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.options.extend(["--user".to_owned(), user.to_owned()]);
        self
    }

    /// Bytes for its stdin, which ends after them. Without: stdin ends at once.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Leaves stdin open, for [`Process::write`].
    #[must_use]
    pub fn open_stdin(mut self) -> Self {
        self.input = None;
        self
    }

    /// What [`Launch::run`] waits at most.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The whole command line, to be wrapped in another program.
    pub fn words(&self, command: &[&str]) -> Vec<String> {
        let mut words = vec![
            self.node.binary().display().to_string(),
            "run".to_owned(),
            self.name.clone(),
        ];
        words.extend([
            "--state".to_owned(),
            self.node.state().display().to_string(),
        ]);
        words.extend(self.options.iter().cloned());
        words.push("--".to_owned());
        words.extend(command.iter().map(|word| (*word).to_owned()));
        words
    }

    /// Starts `command`, without waiting for anything but the launcher's pid.
    pub fn spawn(self, command: &[&str]) -> Result<Running, TestbedError> {
        let number = LAUNCHES.fetch_add(1, Ordering::Relaxed);
        let pid_file = self.node.pid_file(&format!("{}-{number}", self.name));
        let words = self.words(command);
        let what = format!("run {} -- {}", self.name, command.join(" "));
        let line = self.node.host().as_caller(Some(&pid_file), words);
        let process = Process::start(what, line, self.input)?;
        Running::new(process, &pid_file, self.limit)
    }

    /// Runs `command` to its end.
    pub fn run(self, command: &[&str]) -> Result<Output, TestbedError> {
        let limit = self.limit;
        self.spawn(command)?.process.wait(limit)
    }
}

/// A workload that runs. Its launcher is killed when this is dropped, and the workload with it.
pub struct Running {
    /// Its output and its end.
    pub process: Process,
    /// Pid of the launcher within the host.
    pub pid: u32,
    limit: Duration,
}

impl Running {
    fn new(process: Process, pid_file: &Path, limit: Duration) -> Result<Self, TestbedError> {
        let deadline = Instant::now() + PID_WITHIN;
        loop {
            let pid = std::fs::read_to_string(pid_file)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            if let Some(pid) = pid {
                return Ok(Self {
                    process,
                    pid,
                    limit,
                });
            }
            if Instant::now() > deadline {
                return Err(TestbedError::Late {
                    what: "the launcher did not start".into(),
                    seconds: PID_WITHIN.as_secs(),
                    said: process.stderr(),
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the workload has printed `text`, on stdout or stderr.
    pub fn wait_until_it_says(&mut self, text: &str) -> Result<(), TestbedError> {
        let deadline = Instant::now() + self.limit;
        while !self.process.stdout().contains(text) && !self.process.stderr().contains(text) {
            if !self.process.is_running()? || Instant::now() > deadline {
                return Err(TestbedError::Late {
                    what: format!("the workload did not print {text:?}"),
                    seconds: self.limit.as_secs(),
                    said: format!("{}\n{}", self.process.stdout(), self.process.stderr()),
                });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<Output, TestbedError> {
        self.process.wait(self.limit)
    }
}

/// Where a launch writes its pid.
pub(crate) fn pid_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.pid"))
}
