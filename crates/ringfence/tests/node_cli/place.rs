//! A node on a state of its own, and the ways in which tests speak with it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ringfence_compartment::link::{FromLauncher, Grant, LINK_VERSION, ToLauncher};
use ringfence_compartment::{channel, sockets};
use ringfence_model::InstanceId;
use serde_json::Value;

pub(crate) const RINGFENCE: &str = env!("CARGO_BIN_EXE_ringfence");

/// Long enough for a busy machine, short enough for a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Place {
    pub(crate) temp: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(estate: &str) -> Self {
        let place = Self {
            temp: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(place.config()).unwrap();
        place.save(estate);
        place
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.temp.path().join("config")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    /// As an editor does it: whole and at once.
    pub(crate) fn save(&self, text: &str) {
        let new = self.config().join(".new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.config().join("estate.yaml")).unwrap();
    }

    pub(crate) fn up(&self) -> Node<'_> {
        let child = Command::new(RINGFENCE)
            .arg("up")
            .arg("--config")
            .arg(self.config())
            .arg("--state")
            .arg(self.state())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.serving(child)
    }

    /// A node that was just started, once it has said its line.
    pub(crate) fn serving(&self, mut child: Child) -> Node<'_> {
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        Node {
            place: self,
            child,
            line,
            out,
        }
    }

    pub(crate) fn status(&self) -> (i32, Value) {
        let output = ringfence(&["status", "-o", "json", "--state"], &self.state());
        let json = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().unwrap(), json)
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, status) = self.status();
            if holds(&status) {
                return status;
            }
            assert!(
                Instant::now() < end,
                "not within {PATIENCE:?}: {what}\n{status:#}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the node recorded of itself.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let mut reader = ringfence_audit::Reader::open(&self.state().join("log")).unwrap();
        let flows = std::iter::from_fn(|| reader.read().unwrap().map(|(_, flow)| flow));
        let events = flows.filter(|flow| flow.kind() == ringfence_model::flow::Kind::Event);
        events.map(|flow| (flow.operation, flow.reason)).collect()
    }

    pub(crate) fn connect(&self) -> OwnedFd {
        let end = Instant::now() + PATIENCE;
        loop {
            match sockets::connect(
                &sockets::socket_dir(&self.state()).unwrap(),
                sockets::RUN_SOCKET,
            ) {
                Ok(socket) => return socket,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Claims `name` as this test's process.
    pub(crate) fn claim(&self, name: &str, resume: Option<InstanceId>) -> (OwnedFd, ToLauncher) {
        let socket = self.connect();
        let claim = FromLauncher::Claim {
            version: LINK_VERSION,
            name: name.to_owned(),
            command: "test".to_owned(),
            resume,
        };
        channel::send(&socket, &claim, &[]).unwrap();
        let answer = channel::recv(&socket).unwrap().unwrap().message;
        (socket, answer)
    }

    pub(crate) fn granted(&self, name: &str, resume: Option<InstanceId>) -> (OwnedFd, Grant) {
        match self.claim(name, resume) {
            (socket, ToLauncher::Granted(grant)) => (socket, grant),
            (_, other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn refused(&self, name: &str, resume: Option<InstanceId>) -> (String, String) {
        match self.claim(name, resume) {
            (_, ToLauncher::Refused { reason, hint }) => (reason, hint),
            (_, other) => panic!("{other:?}"),
        }
    }
}

/// The end of a channel to an enforcer, which must come next.
pub(crate) fn linked(socket: &OwnedFd) -> OwnedFd {
    let packet = channel::recv::<ToLauncher>(socket).unwrap().unwrap();
    assert_eq!(packet.message, ToLauncher::Link);
    packet.descriptors.into_iter().next().unwrap()
}

pub(crate) fn ringfence(args: &[&str], state: &Path) -> Output {
    Command::new(RINGFENCE)
        .args(args)
        .arg(state)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) struct Node<'a> {
    pub(crate) place: &'a Place,
    pub(crate) child: Child,
    pub(crate) line: String,
    pub(crate) out: BufReader<std::process::ChildStdout>,
}

impl Node<'_> {
    pub(crate) fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .arg(name)
                .arg(self.child.id().to_string())
                .status()
                .unwrap()
                .success()
        );
    }

    /// Exit code, the rest of standard output, standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }

    pub(crate) fn enforcer(&self) -> u64 {
        self.place.until("an enforcer", |status| {
            status["enforcer"]["serving"] == true
        })["enforcer"]["pid"]
            .as_u64()
            .unwrap()
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn kill(pid: u64) {
    assert!(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// A launcher in a process of its own, in Python so that it shares nothing with ours.
pub(crate) const LAUNCHER: &str = "\
import json, os, socket, sys
os.chdir(sys.argv[1])
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect('run.sock')
claim = {'say': 'claim', 'version': int(sys.argv[2]), 'name': sys.argv[3], 'command': 'python', 'resume': sys.argv[4] or None}
s.send(json.dumps(claim).encode())
print(s.recv(65536).decode(), flush=True)
sys.stdin.read()
";

pub(crate) fn python(place: &Place, name: &str, resume: &str) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command
        .args(["-c", LAUNCHER])
        .arg(sockets::socket_dir(&place.state()).unwrap());
    command.args([&LINK_VERSION.to_string(), name, resume]);
    command.current_dir("/");
    command
}

pub(crate) fn other_process(place: &Place, name: &str) -> Child {
    python(place, name, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

pub(crate) fn say_from_another_process(
    place: &Place,
    name: &str,
    resume: Option<&str>,
    uid: Option<u32>,
) -> String {
    let mut command = python(place, name, resume.unwrap_or_default());
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a node of root leaves outside its state when it is killed.
impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(directory) = sockets::socket_dir(&self.state())
            && directory.starts_with("/run/ringfence")
        {
            let _ = fs::remove_dir_all(directory);
        }
    }
}
