//! A running node: `ringfence up` on an estate, and what operators ask of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ringfence_model::FlowRecord;

use crate::launch::{self, Launch};
use crate::{Caller, Host, Output, Process, TestbedError};

/// For `up` to say that it serves.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// For `up` to end when told to.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// For a change of the estate, or a record, to show.
const SHOWS_WITHIN: Duration = Duration::from_secs(15);
/// For a verb that only reads.
const VERB_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const POLL: Duration = Duration::from_millis(50);

/// Numbers the starts of nodes within one test process.
static STARTS: AtomicU32 = AtomicU32::new(0);

/// How a node is started.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    binary: PathBuf,
    caller: Caller,
    estate: Vec<(String, String)>,
    state_size: Option<String>,
    up_arguments: Vec<String>,
}

impl NodeOptions {
    /// A node of whoever runs the tests, without any resource. Tests of the binary's own package pass
    /// `env!("CARGO_BIN_EXE_ringfence")`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            caller: Caller::own(),
            estate: Vec::new(),
            state_size: None,
            up_arguments: Vec::new(),
        }
    }

    /// Runs everything as `caller`.
    #[must_use]
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// Adds a file to the configuration directory.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.estate.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Puts the state on a file system of its own of this size (as `mount -o size=` takes it).
    #[must_use]
    pub fn state_size(mut self, size: &str) -> Self {
        self.state_size = Some(size.to_owned());
        self
    }

    /// Gives `ringfence up` more arguments.
    #[must_use]
    pub fn up_arguments(mut self, words: &[&str]) -> Self {
        self.up_arguments
            .extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Makes the host and starts the node; returns when it serves.
    pub fn start(self) -> Result<Node, TestbedError> {
        Node::start(self)
    }
}

/// A node in a host of its own. Ends with it.
pub struct Node {
    up: Option<Process>,
    up_pid: u32,
    binary: PathBuf,
    config: PathBuf,
    state: PathBuf,
    pids: PathBuf,
    host: Host,
    up_arguments: Vec<String>,
}

impl Node {
    fn start(options: NodeOptions) -> Result<Self, TestbedError> {
        let host = Host::new(options.caller)?;
        // A copy that the caller can execute, whatever the mode of the build directory. A link where that is possible.
        let binary = host.path().join("ringfence");
        std::fs::hard_link(&options.binary, &binary)
            .or_else(|_| std::fs::copy(&options.binary, &binary).map(drop))
            .map_err(TestbedError::io(options.binary.display().to_string()))?;
        let (config, pids) = (host.directory("estate")?, host.directory("pids")?);
        let state = host.path().join("state");
        if let Some(size) = &options.state_size {
            host.directory("state")?;
            let state = state.display().to_string();
            let made = host.run_as_root([
                "sh",
                "-c",
                r#"owner=$(stat -c %u:%g "$1") && mount -t tmpfs -o "mode=700,size=$0" none "$1" && chown "$owner" "$1""#,
                size,
                &state,
            ])?;
            if made.code != Some(0) {
                return Err(TestbedError::Answer {
                    what: "a file system for the state".into(),
                    said: made.stderr,
                });
            }
        }
        let mut node = Self {
            up: None,
            up_pid: 0,
            binary,
            config,
            state,
            pids,
            host,
            up_arguments: options.up_arguments.clone(),
        };
        for (name, text) in &options.estate {
            node.write(name, text)?;
        }
        node.up()?;
        Ok(node)
    }

    /// Starts `up`, again after [`Node::stop`].
    pub fn up(&mut self) -> Result<(), TestbedError> {
        let (process, pid_file) = self.start_up(&[])?;
        self.serves(process, &pid_file)
    }

    /// Starts `up --takeover` beside the one that runs, and waits until it serves. Returns how the other one ended.
    pub fn take_over(&mut self) -> Result<Output, TestbedError> {
        let (process, pid_file) = self.start_up(&["--takeover"])?;
        let before = self.up.take();
        self.serves(process, &pid_file)?;
        match before {
            Some(mut before) => before.wait(STOP_WITHIN),
            None => Err(TestbedError::Answer {
                what: "ringfence up".into(),
                said: "none ran before".into(),
            }),
        }
    }

    /// Starts `up` on this node's state with more `options`, and waits for nothing: the process, and the file that will
    /// hold its pid.
    pub fn start_up(&self, options: &[&str]) -> Result<(Process, PathBuf), TestbedError> {
        let number = STARTS.fetch_add(1, Ordering::Relaxed);
        let pid_file = launch::pid_file(&self.pids, &format!("up-{number}"));
        let (config, state) = (
            self.config.display().to_string(),
            self.state.display().to_string(),
        );
        let words = [self.binary.as_os_str(), OsStr::new("up")].map(OsStr::to_owned);
        let own = ["--config", &config, "--state", &state, "--node", "testhost"];
        let options = own.into_iter().chain(options.iter().copied());
        let always = self.up_arguments.iter().map(String::as_str);
        let words = words
            .into_iter()
            .chain(options.chain(always).map(Into::into));
        let line = self.host.as_caller(Some(&pid_file), words);
        Ok((Process::start("ringfence up", line, None)?, pid_file))
    }

    /// Waits until a process of [`Node::start_up`] serves; it is this node's from then on.
    pub fn serves(&mut self, process: Process, pid_file: &Path) -> Result<(), TestbedError> {
        process.wait_stdout("ringfence is up", READY_WITHIN)?;
        let text = std::fs::read_to_string(pid_file)
            .map_err(TestbedError::io("the pid of ringfence up"))?;
        self.up_pid = text.trim().parse().map_err(|_| TestbedError::Answer {
            what: "the pid of ringfence up".into(),
            said: text,
        })?;
        self.up = Some(process);
        Ok(())
    }

    /// What is started from now on is this binary.
    pub fn set_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// Tells `up` to end, and waits for it.
    pub fn stop(&mut self) -> Result<Output, TestbedError> {
        self.end("TERM")
    }

    /// Ends `up` as a crash would.
    pub fn kill(&mut self) -> Result<Output, TestbedError> {
        self.end("KILL")
    }

    fn end(&mut self, signal: &str) -> Result<Output, TestbedError> {
        let Some(mut up) = self.up.take() else {
            return Err(TestbedError::Answer {
                what: "ringfence up".into(),
                said: "it does not run".into(),
            });
        };
        self.host.signal(signal, self.up_pid)?;
        up.wait(STOP_WITHIN)
    }

    /// What `up` printed on stderr so far.
    pub fn messages(&self) -> String {
        self.up.as_ref().map(Process::stderr).unwrap_or_default()
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The binary, as the host's caller may execute it.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The configuration directory.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Process id of `up` within the host.
    pub fn pid(&self) -> u32 {
        self.up_pid
    }

    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        launch::pid_file(&self.pids, name)
    }

    /// Prepares to start a program as `name`.
    pub fn workload(&self, name: &str) -> Launch<'_> {
        Launch::new(self, name)
    }

    /// Runs `command` as `name` to its end.
    pub fn run(&self, name: &str, command: &[&str]) -> Result<Output, TestbedError> {
        self.workload(name).run(command)
    }

    /// Runs a verb of `ringfence`, of one word or more, with `--state` of this node.
    pub fn verb(&self, verb: &str, arguments: &[&str]) -> Result<Output, TestbedError> {
        let mut words = vec![self.binary.display().to_string()];
        words.extend(verb.split(' ').map(str::to_owned));
        words.extend(["--state".to_owned(), self.state.display().to_string()]);
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        let line = self.host.as_caller(None, words);
        Process::start(format!("ringfence {verb}"), line, Some(Vec::new()))?.wait(VERB_WITHIN)
    }

    /// Writes a file of the configuration, in one step as editors do. The node picks it up by itself.
    pub fn write(&self, name: &str, text: &str) -> Result<(), TestbedError> {
        let (path, new) = (
            self.config.join(name),
            self.config.join(format!(".{name}.new")),
        );
        std::fs::write(&new, text).map_err(TestbedError::io(new.display().to_string()))?;
        self.host.own(&new)?;
        std::fs::rename(&new, &path).map_err(TestbedError::io(path.display().to_string()))
    }

    /// Writes a file of the configuration and waits until a new generation is in force.
    pub fn reload(&self, name: &str, text: &str) -> Result<(), TestbedError> {
        let before = self.generation()?;
        self.write(name, text)?;
        self.await_that("the new generation", |node| {
            Ok((node.generation()? > before).then_some(()))
        })
    }

    /// The generation in force.
    pub fn generation(&self) -> Result<u64, TestbedError> {
        let (_, status) = self.status()?;
        status["policy"]["generation"]
            .as_u64()
            .ok_or_else(|| TestbedError::Answer {
                what: "the generation".into(),
                said: status.to_string(),
            })
    }

    /// Exit code and answer of `ringfence status -o json`.
    pub fn status(&self) -> Result<(i32, serde_json::Value), TestbedError> {
        let output = self.verb("status", &["-o", "json"])?;
        let wrong = |said: String| TestbedError::Answer {
            what: "ringfence status".into(),
            said,
        };
        match (output.code, serde_json::from_str(&output.stdout)) {
            (Some(code), Ok(status)) => Ok((code, status)),
            _ => Err(wrong(format!(
                "{:?} {} {}",
                output.code, output.stdout, output.stderr
            ))),
        }
    }

    /// All records of the flow log, in order, as `ringfence observe -o json` prints them.
    pub fn flows(&self) -> Result<Vec<FlowRecord>, TestbedError> {
        let output = self.verb("observe", &["-o", "json"])?;
        let wrong = |said: String| TestbedError::Answer {
            what: "ringfence observe".into(),
            said,
        };
        if output.code != Some(0) {
            return Err(wrong(output.stderr));
        }
        let parse = |line: &str| {
            serde_json::from_str(line).map_err(|error| wrong(format!("{error}: {line}")))
        };
        output.stdout.lines().map(parse).collect()
    }

    /// Records from `seq` on that `wanted` picks.
    pub fn flows_where(
        &self,
        seq: u64,
        wanted: impl Fn(&FlowRecord) -> bool,
    ) -> Result<Vec<FlowRecord>, TestbedError> {
        let flows = self.flows()?;
        Ok(flows
            .into_iter()
            .filter(|record| record.seq >= seq && wanted(record))
            .collect())
    }

    /// Sequence number that the next record will get.
    pub fn head(&self) -> Result<u64, TestbedError> {
        Ok(self.flows()?.last().map_or(0, |record| record.seq + 1))
    }

    /// Waits for a record that `wanted` picks, and gives the first.
    pub fn wait_for_flow(
        &self,
        wanted: impl Fn(&FlowRecord) -> bool,
    ) -> Result<FlowRecord, TestbedError> {
        self.await_that("the record", |node| {
            Ok(node.flows()?.into_iter().find(|record| wanted(record)))
        })
    }

    /// Looks until `look` finds something.
    pub fn await_that<T>(
        &self,
        what: &str,
        look: impl Fn(&Self) -> Result<Option<T>, TestbedError>,
    ) -> Result<T, TestbedError> {
        let deadline = Instant::now() + SHOWS_WITHIN;
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                let said = self
                    .verb("observe", &["--last", "40"])
                    .map(|output| output.stdout)
                    .unwrap_or_default();
                return Err(TestbedError::Late {
                    what: format!("{what} did not show"),
                    seconds: SHOWS_WITHIN.as_secs(),
                    said: format!("{}\n{said}", self.messages()),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    /// The enforcer's process id within the host, once it serves.
    pub fn enforcer(&self) -> Result<u32, TestbedError> {
        self.await_that("the enforcer", |node| {
            let enforcer = &node.status()?.1["enforcer"];
            let serving = enforcer["serving"].as_bool() == Some(true);
            Ok(enforcer["pid"]
                .as_u64()
                .filter(|_| serving)
                .and_then(|pid| u32::try_from(pid).ok()))
        })
    }

    /// `kill -9` of the enforcer. Returns its process id.
    pub fn kill_enforcer(&self) -> Result<u32, TestbedError> {
        let pid = self.enforcer()?;
        self.host.signal("KILL", pid)?;
        Ok(pid)
    }

    /// Waits until another enforcer than `before` serves, with every compartment armed.
    pub fn await_enforcer_after(&self, before: u32) -> Result<u32, TestbedError> {
        self.await_that("another enforcer", |node| {
            let status = node.status()?.1;
            let pid = status["enforcer"]["pid"]
                .as_u64()
                .and_then(|pid| u32::try_from(pid).ok());
            let armed = |workload: &serde_json::Value| workload["armed"].as_bool() == Some(true);
            let ready = status["enforcer"]["serving"].as_bool() == Some(true)
                && status["workloads"]
                    .as_array()
                    .is_some_and(|workloads| workloads.iter().all(armed));
            Ok(pid.filter(|pid| *pid != before && ready))
        })
    }
}
