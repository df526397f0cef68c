//! A process of a simulated host: its output as it comes, its end, signals by pid.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::TestbedError;

/// How often the end of a process is looked for.
const POLL: Duration = Duration::from_millis(5);

/// What a process left: how it ended, and what it printed.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Bytes of stdout.
    pub bytes: Vec<u8>,
    /// Stdout as text; what is not UTF-8 is replaced.
    pub stdout: String,
    /// Stderr as text.
    pub stderr: String,
}

impl Output {
    /// Panics unless the process exited 0. Gives the output back, for chains.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A growing copy of what a process prints.
#[derive(Default)]
struct Sink {
    bytes: Mutex<(Vec<u8>, bool)>,
    grown: Condvar,
}

impl Sink {
    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, bool)> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(self: Arc<Self>, mut from: impl Read + Send + 'static) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = from.read(&mut buffer).unwrap_or(0);
                let mut bytes = self.lock();
                bytes.0.extend_from_slice(&buffer[..read]);
                bytes.1 = read == 0;
                self.grown.notify_all();
                if read == 0 {
                    return;
                }
            }
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().0).into_owned()
    }

    /// Waits until `wanted` is in what was printed. False when the process closed it, or the time is over.
    fn wait(&self, wanted: &str, deadline: Instant) -> bool {
        let mut bytes = self.lock();
        loop {
            if String::from_utf8_lossy(&bytes.0).contains(wanted) {
                return true;
            }
            let now = Instant::now();
            if bytes.1 || now >= deadline {
                return false;
            }
            bytes = self
                .grown
                .wait_timeout(bytes, deadline - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A running process. Killed when dropped.
pub struct Process {
    what: String,
    child: Child,
    stdout: Arc<Sink>,
    stderr: Arc<Sink>,
    readers: Vec<JoinHandle<()>>,
    feeder: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `command`; `input` is written to its stdin, which is then closed. `None`: stdin stays open until
    /// [`Process::close_stdin`].
    pub(crate) fn start(
        what: impl Into<String>,
        mut command: Command,
        input: Option<Vec<u8>>,
    ) -> Result<Self, TestbedError> {
        let what = what.into();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(TestbedError::io(what.clone()))?;
        let (stdout, stderr) = (Arc::new(Sink::default()), Arc::new(Sink::default()));
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(stdout.clone().drain(pipe));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(stderr.clone().drain(pipe));
        }
        let feeder = match input {
            Some(input) => child.stdin.take().map(|mut pipe| {
                // A process that does not read to the end is its own affair.
                std::thread::spawn(move || drop(pipe.write_all(&input)))
            }),
            None => None,
        };
        Ok(Self {
            what,
            child,
            stdout,
            stderr,
            readers,
            feeder,
        })
    }

    /// What it printed on stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it printed on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Writes to its stdin, where that was kept open.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), TestbedError> {
        match self.child.stdin.as_mut() {
            Some(pipe) => pipe
                .write_all(bytes)
                .map_err(TestbedError::io(format!("stdin of {}", self.what))),
            None => Err(TestbedError::Answer {
                what: self.what.clone(),
                said: "stdin is closed".into(),
            }),
        }
    }

    /// Ends its stdin.
    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Waits until it has printed `wanted` on stdout.
    pub fn wait_stdout(&self, wanted: &str, limit: Duration) -> Result<(), TestbedError> {
        self.wait_sink(&self.stdout, wanted, limit)
    }

    /// Waits until it has printed `wanted` on stderr.
    pub fn wait_stderr(&self, wanted: &str, limit: Duration) -> Result<(), TestbedError> {
        self.wait_sink(&self.stderr, wanted, limit)
    }

    fn wait_sink(&self, sink: &Sink, wanted: &str, limit: Duration) -> Result<(), TestbedError> {
        if sink.wait(wanted, Instant::now() + limit) {
            return Ok(());
        }
        Err(self.late(format!("{} did not print {wanted:?}", self.what), limit))
    }

    fn late(&self, what: String, limit: Duration) -> TestbedError {
        let said = format!("{}\n{}", self.stdout(), self.stderr());
        TestbedError::Late {
            what,
            seconds: limit.as_secs(),
            said,
        }
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> Result<bool, TestbedError> {
        let ended = self
            .child
            .try_wait()
            .map_err(TestbedError::io(self.what.clone()))?;
        Ok(ended.is_none())
    }

    /// Waits for its end; its stdin is closed first.
    pub fn wait(&mut self, limit: Duration) -> Result<Output, TestbedError> {
        self.close_stdin();
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self
                .child
                .try_wait()
                .map_err(TestbedError::io(self.what.clone()))?
            {
                break status;
            }
            if Instant::now() >= deadline {
                return Err(self.late(format!("{} did not end", self.what), limit));
            }
            std::thread::sleep(POLL);
        };
        // The pipes may outlive the process in a child of its own; wait for them no longer than for the process.
        while self.readers.iter().any(|reader| !reader.is_finished()) {
            if Instant::now() >= deadline {
                return Err(self.late(format!("the output of {} did not end", self.what), limit));
            }
            std::thread::sleep(POLL);
        }
        Ok(self.output(status))
    }

    fn output(&self, status: ExitStatus) -> Output {
        use std::os::unix::process::ExitStatusExt;
        let bytes = self.stdout.lock().0.clone();
        Output {
            code: status.code(),
            signal: status.signal(),
            stdout: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
            stderr: self.stderr(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What it left inside the host goes with the host. Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(feeder) = self.feeder.take() {
            // It ends with the pipe, unless a child of the process still holds that.
            drop(feeder);
        }
    }
}
