//! A node and an enforcer in the test's own process, speaking the real link protocol with real launchers.
//!
//! The enforcer here has no policy. It checks every descriptor as the real one does, answers each TCP connection with
//! one line, `door ADDRESS`, answers each datagram to port 53 or 5000 with `door ADDRESS` from the address that was asked,
//! and notes everything. It can be killed (all its descriptors close at once, as on `kill -9`) and started again.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ringfence_compartment::link::{
    Attempt, FromEnforcer, FromLauncher, Grant, Socket, ToEnforcer, ToLauncher,
};
use ringfence_compartment::{channel, datagram, inspect, sockets};
use ringfence_model::resource::Filesystem;
use ringfence_model::{Generation, InstanceId, Kind, Name, VirtualAddr, WorkloadId};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;

/// Nobody's user: the unprivileged launcher.
pub const SOMEBODY: u32 = 54_321;
/// Longest any test waits for something that should happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Who starts the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    Root,
    Somebody,
}

/// Both of them.
pub const BOTH: [User; 2] = [User::Root, User::Somebody];

/// Everything the enforcer noted.
#[derive(Debug, Default)]
pub struct Notes {
    pub attempts: Vec<Attempt>,
    /// TCP connections at the doors, by original destination.
    pub connections: Vec<SocketAddr>,
    /// Bytes that arrived on each, as far as they came within a moment.
    pub payloads: Vec<Vec<u8>>,
    /// Datagrams at the doors.
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub rejected: Vec<String>,
    pub walls: Vec<String>,
    pub unbounded: Vec<String>,
    pub armed: u32,
    /// Sockets to dial into the compartment with.
    pub inbound: Vec<(Socket, OwnedFd)>,
}

/// How the enforcer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Serves.
    Well,
    /// Takes the doors and never says that it is armed.
    Mute,
    /// Arms, then reads nothing any more, and accepts nothing.
    Stuck,
}

/// What the node does with claims of what it does not know any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Grants them.
    Granted,
    /// Says no.
    Refused,
    /// Says nothing, and ends the connection.
    HungUp,
}

struct Shared {
    notes: Mutex<Notes>,
    mood: Mutex<Mood>,
    filesystem: Mutex<Filesystem>,
    forbidden: Mutex<Vec<PathBuf>>,
    /// Where the node speaks to each launcher, to name a new enforcer.
    launchers: Mutex<Vec<OwnedFd>>,
    /// Enforcers end when this grows.
    epoch: AtomicU64,
    instances: AtomicU64,
    stop: AtomicU64,
    resumed: Mutex<Vec<String>>,
    again: Mutex<Again>,
    /// When something was claimed again.
    claimed_again: Mutex<Vec<Instant>>,
    /// Done once between a claim and its grant, which is then for the program that was shown.
    before_grant: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// What every enforcer asks for next, and how often it was asked to.
    need: Mutex<(u64, [u32; 4])>,
}

/// A host with a node.
pub struct Host {
    pub state: tempfile::TempDir,
    launcher: PathBuf,
    shared: Arc<Shared>,
}

/// Whether these tests can run here. They need root, to be both root and somebody.
pub fn able() -> bool {
    let able = rustix::process::geteuid().is_root();
    if !able {
        eprintln!("skipped: needs root, to try both root and an unprivileged user");
    }
    able
}

impl Host {
    pub fn new() -> Self {
        let state = tempfile::Builder::new()
            .prefix("rf-compartment-")
            .tempdir()
            .unwrap();
        open_to_all(state.path());
        let exe = std::env::current_exe().unwrap();
        let built = exe
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("examples/launcher");
        // Other users may not enter the place it was built in.
        let launcher = state.path().join("launcher");
        copy_program(&built, &launcher);
        let shared = Arc::new(Shared {
            notes: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            filesystem: Mutex::default(),
            forbidden: Mutex::default(),
            launchers: Mutex::default(),
            epoch: AtomicU64::new(0),
            instances: AtomicU64::new(0),
            stop: AtomicU64::new(0),
            resumed: Mutex::default(),
            again: Mutex::new(Again::Granted),
            claimed_again: Mutex::default(),
            before_grant: Mutex::default(),
            need: Mutex::default(),
        });
        let host = Self {
            state,
            launcher,
            shared,
        };
        host.start_node();
        host
    }

    /// The launcher, where everyone may execute it.
    pub fn launcher(&self) -> &Path {
        &self.launcher
    }

    /// Listens, and serves claims.
    pub fn start_node(&self) {
        let directory = sockets::socket_dir(self.state.path()).unwrap();
        std::fs::create_dir_all(&directory).unwrap();
        let everyone = Mode::from_raw_mode(0o666);
        let listener = sockets::listen(&directory, sockets::RUN_SOCKET, everyone).unwrap();
        self.shared.stop.store(0, Ordering::SeqCst);
        let node = self.shared.clone();
        std::thread::spawn(move || serve_node(&node, &listener));
    }

    /// As `kill -9` of the node: its enforcer goes with it.
    pub fn kill_node(&self) {
        self.shared.stop.store(1, Ordering::SeqCst);
        self.shared.launchers.lock().unwrap().clear();
        self.kill_enforcer();
    }

    /// Instances that were claimed again.
    pub fn resumed(&self) -> Vec<String> {
        self.shared.resumed.lock().unwrap().clone()
    }

    /// From now on claims of what is running already are answered so.
    pub fn again(&self, again: Again) {
        *self.shared.again.lock().unwrap() = again;
        self.shared.claimed_again.lock().unwrap().clear();
    }

    /// The shortest time between two such claims, once there were `count`.
    pub fn between_claims(&self, count: usize) -> Duration {
        let start = Instant::now();
        loop {
            let claimed = self.shared.claimed_again.lock().unwrap().clone();
            if claimed.len() >= count {
                let pairs = claimed.iter().zip(claimed.iter().skip(1));
                return pairs.map(|(one, next)| *next - *one).min().unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "{} claims", claimed.len());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets the enforcer ask for inbound sockets.
    pub fn need(&self, inbound4: u32, inbound6: u32) {
        self.need_all([inbound4, inbound6, 0, 0]);
    }

    /// The same, with sockets for datagrams.
    pub fn need_all(&self, wanted: [u32; 4]) {
        let mut need = self.shared.need.lock().unwrap();
        *need = (need.0 + 1, wanted);
    }

    /// What policies of this host add to the root.
    pub fn filesystem(&self, filesystem: Filesystem) -> &Self {
        *self.shared.filesystem.lock().unwrap() = filesystem;
        self
    }

    pub fn forbid(&self, path: &Path) {
        self.shared.forbidden.lock().unwrap().push(path.to_owned());
    }

    /// Grants the next claim for the program that it shows alone, after `change` happened.
    pub fn pin_and(&self, change: impl FnOnce() + Send + 'static) {
        *self.shared.before_grant.lock().unwrap() = Some(Box::new(change));
    }

    pub fn mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// The command that launches a workload, in a network namespace apart from the machine's.
    pub fn command(&self, user: User, options: &[&str], command: &[&str]) -> Command {
        let mut launch = Command::new("unshare");
        // Whoever runs the tests in the background ignores signals; workloads would inherit that.
        launch.args(["-n", "env", "--default-signal=HUP,INT,QUIT"]);
        if user == User::Somebody {
            let id = SOMEBODY.to_string();
            launch.args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        launch
            .arg(&self.launcher)
            .arg(self.state.path())
            .arg("crawler");
        launch.args(options).arg("--").args(command);
        launch.stdin(Stdio::null()).current_dir("/");
        launch
    }

    /// Runs a workload to its end.
    pub fn run(&self, user: User, command: &[&str]) -> Output {
        self.command(user, &[], command).output().unwrap()
    }

    /// Runs a Python program to its end; it must succeed. Gives what it printed.
    pub fn python(&self, user: User, program: &str) -> String {
        let output = self.run(user, &["/usr/bin/python3", "-c", program]);
        let (out, err) = texts(&output);
        assert!(
            output.status.success(),
            "{user:?}: {:?}\n{out}\n{err}",
            output.status
        );
        out
    }

    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.shared.notes.lock().unwrap()
    }

    /// As `kill -9` of the enforcer: everything it holds is closed at once.
    pub fn kill_enforcer(&self) {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(150));
    }

    /// A new enforcer, named before anyone could notice that the old one is gone.
    pub fn replace_enforcer(&self) {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        self.start_enforcer();
    }

    /// A new enforcer: every launcher gets a fresh link.
    pub fn start_enforcer(&self) {
        for launcher in self.shared.launchers.lock().unwrap().iter() {
            let _ = send_link(&self.shared, launcher);
        }
    }

    /// Waits until the notes say so.
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Notes) -> bool) {
        let start = Instant::now();
        while !is_so(&self.notes()) {
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain: {what}; {:?}",
                self.notes()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many attempts of this operation were recorded.
    pub fn attempts(&self, operation: &str) -> u64 {
        let notes = self.notes();
        let alike = notes
            .attempts
            .iter()
            .filter(|attempt| attempt.operation.contains(operation));
        alike.map(|attempt| attempt.count).sum()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stop.store(1, Ordering::SeqCst);
        self.kill_enforcer();
        self.shared.launchers.lock().unwrap().clear();
        if let Ok(directory) = sockets::socket_dir(self.state.path()) {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// Copies a program in a process of its own: a descriptor of ours that is open for writing could leak into another
/// test's child for a moment, and the program could not be executed meanwhile.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(
        copied.success(),
        "{}; run the whole `cargo test`",
        from.display()
    );
}

pub fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A workload that runs on, spoken to by lines.
pub struct Running {
    pub child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    early: std::collections::VecDeque<String>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = io::BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in io::BufRead::lines(out).map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            early: Default::default(),
        }
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn hear(&mut self) -> String {
        self.early.pop_front().unwrap_or_else(|| {
            self.lines
                .recv_timeout(PATIENCE)
                .expect("the workload said nothing")
        })
    }

    /// Whether it said something that was not heard yet.
    pub fn lines_waiting(&mut self) -> bool {
        self.early.extend(self.lines.try_iter());
        !self.early.is_empty()
    }

    /// Evaluates a line in a workload started with [`INTERPRETER`].
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }

    pub fn wait(&mut self) -> std::process::ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the launcher did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python program that evaluates the lines it reads, one answer each.
pub const INTERPRETER: &str = r#"
import sys, socket, os, errno, time, struct
def tcp(host, port, payload=b'', timeout=5):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    s.settimeout(timeout)
    try:
        s.connect((host, port))
        if payload: s.sendall(payload)
        return s.recv(200).decode().strip() or 'end'
    except OSError as e:
        return errno.errorcode.get(e.errno, type(e).__name__)
    finally:
        s.close()
print('ready', flush=True)
for line in sys.stdin:
    try: print(repr(eval(line)), flush=True)
    except OSError as e: print(errno.errorcode.get(e.errno, repr(e)), flush=True)
    except Exception as e: print(repr(e), flush=True)
"#;

fn serve_node(shared: &Arc<Shared>, listener: &OwnedFd) {
    while shared.stop.load(Ordering::SeqCst) == 0 {
        let mut waiting = [PollFd::new(listener, PollFlags::IN)];
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        if !matches!(rustix::event::poll(&mut waiting, Some(&tick)), Ok(1)) {
            continue;
        }
        let Ok(launcher) = rustix::net::accept(listener) else {
            break;
        };
        let Ok(Some(packet)) = channel::recv::<FromLauncher>(&launcher) else {
            continue;
        };
        let FromLauncher::Claim { name, resume, .. } = packet.message else {
            panic!("no launcher of these tests rehearses");
        };
        let uid = sockets::peer(&launcher).unwrap().uid;
        if let Some(instance) = &resume {
            shared.claimed_again.lock().unwrap().push(Instant::now());
            match *shared.again.lock().unwrap() {
                Again::Granted => shared.resumed.lock().unwrap().push(instance.to_string()),
                Again::HungUp => continue,
                Again::Refused => {
                    let refused = ToLauncher::Refused {
                        reason: "not any more".to_owned(),
                        hint: "wait".to_owned(),
                    };
                    // The launcher closes it when it has read that.
                    let _ = channel::send(&launcher, &refused, &[]);
                    continue;
                }
            }
        }
        let number = shared.instances.fetch_add(1, Ordering::SeqCst);
        let grant = Grant {
            instance: resume.unwrap_or_else(|| InstanceId(format!("{name}-{number}").into())),
            workload: WorkloadId {
                kind: Kind::Agent,
                name: Name::new(&name).unwrap(),
            },
            address: VirtualAddr {
                v4: "100.64.0.9".parse().unwrap(),
                v6: "fd52:6600::9".parse().unwrap(),
            },
            fqdn: format!("{name}.ringfence.internal"),
            outer_id: (uid == 0)
                .then_some(2_000_000_000 + (number as u32 + std::process::id() * 64) % 100_000_000),
            filesystem: shared.filesystem.lock().unwrap().clone(),
            forbidden: shared.forbidden.lock().unwrap().clone(),
            quarantined: false,
            pinned: shared
                .before_grant
                .lock()
                .unwrap()
                .take()
                .is_some_and(|change| {
                    change();
                    true
                }),
            generation: Generation(1),
            bounds: ringfence_compartment::link::Bounds::default(),
            encloses: false,
        };
        if channel::send(&launcher, &ToLauncher::Granted(grant), &[]).is_ok()
            && send_link(shared, &launcher).is_ok()
        {
            shared.launchers.lock().unwrap().push(launcher);
        }
    }
}

fn send_link(shared: &Arc<Shared>, launcher: &OwnedFd) -> io::Result<()> {
    let (near, far) = channel::pair()?;
    channel::send(launcher, &ToLauncher::Link, &[far.as_fd()])?;
    let (shared, epoch) = (shared.clone(), shared.epoch.load(Ordering::SeqCst));
    std::thread::spawn(move || {
        if let Err(cause) = enforce(&shared, epoch, &near) {
            shared
                .notes
                .lock()
                .unwrap()
                .rejected
                .push(cause.to_string());
        }
    });
    Ok(())
}

/// One compartment, seen by the enforcer.
fn enforce(shared: &Shared, epoch: u64, link: &OwnedFd) -> io::Result<()> {
    let host = inspect::own_namespace()?;
    let mut sockets: Vec<(Socket, OwnedFd)> = Vec::new();
    let (mut messages, mut armed, mut asked) = (0, false, shared.need.lock().unwrap().0);
    let mood = *shared.mood.lock().unwrap();
    while shared.epoch.load(Ordering::SeqCst) == epoch {
        let need = *shared.need.lock().unwrap();
        if armed && need.0 != asked {
            asked = need.0;
            let [inbound4, inbound6, udp4, udp6] = need.1;
            let need = FromEnforcer::Need {
                inbound4,
                inbound6,
                udp4,
                udp6,
            };
            channel::send(link, &need, &[])?;
        }
        let stuck = armed && mood == Mood::Stuck;
        let mut waiting: Vec<_> = std::iter::once(link)
            .chain(sockets.iter().filter(|_| armed).map(|(_, socket)| socket))
            .map(|descriptor| PollFd::new(descriptor, PollFlags::IN))
            .collect();
        if stuck {
            waiting.clear();
        }
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: 20_000_000,
        };
        rustix::event::poll(&mut waiting, Some(&tick))?;
        let ready: Vec<bool> = waiting
            .iter()
            .map(|w| w.revents().contains(PollFlags::IN))
            .collect();
        drop(waiting);
        if stuck {
            continue;
        }
        for ((socket, descriptor), _) in sockets
            .iter()
            .zip(ready.iter().skip(1))
            .filter(|(_, ready)| **ready)
        {
            serve_door(shared, *socket, descriptor, &sockets);
        }
        let packet = match channel::try_recv::<ToEnforcer>(link) {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(()),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => continue,
            Err(cause) => return Err(cause),
        };
        let mut notes = shared.notes.lock().unwrap();
        match packet.message {
            ToEnforcer::Sockets { sockets: kinds } => {
                for (kind, descriptor) in kinds.into_iter().zip(packet.descriptors) {
                    if let Err(cause) = inspect::check(kind, &descriptor, host) {
                        notes.rejected.push(cause.to_string());
                        let rejected = FromEnforcer::Rejected {
                            reason: cause.to_string(),
                        };
                        channel::send(link, &rejected, &[])?;
                    }
                    if matches!(
                        kind,
                        Socket::Inbound4
                            | Socket::Inbound6
                            | Socket::InboundUdp4
                            | Socket::InboundUdp6
                    ) {
                        notes.inbound.push((kind, descriptor));
                    } else {
                        sockets.push((kind, descriptor));
                    }
                }
            }
            ToEnforcer::Arm {
                walls, unbounded, ..
            } => {
                (notes.walls, notes.unbounded) = (walls, unbounded);
                if mood != Mood::Mute {
                    armed = true;
                    notes.armed += 1;
                    channel::send(link, &FromEnforcer::Armed, &[])?;
                }
            }
            ToEnforcer::Attempts { attempts } => {
                notes.attempts.extend(attempts);
                messages += 1;
                channel::send(link, &FromEnforcer::Recorded { messages }, &[])?;
            }
        }
    }
    Ok(())
}

fn serve_door(shared: &Shared, socket: Socket, door: &OwnedFd, all: &[(Socket, OwnedFd)]) {
    match socket {
        Socket::TcpDoor4 | Socket::TcpDoor6 => {
            while let Ok(connection) = rustix::net::accept(door) {
                let mut connection = TcpStream::from(connection);
                let destination = connection.local_addr().unwrap();
                shared.notes.lock().unwrap().connections.push(destination);
                let _ = connection.write_all(format!("door {destination}\n").as_bytes());
                let _ = connection.set_read_timeout(Some(Duration::from_millis(50)));
                let mut payload = vec![0; 4096];
                let length = connection.read(&mut payload).unwrap_or(0);
                payload.truncate(length);
                shared.notes.lock().unwrap().payloads.push(payload);
            }
        }
        Socket::UdpDoor4 | Socket::UdpDoor6 => {
            let mut buffer = vec![0; datagram::DATAGRAM_MAX];
            while let Ok(got) = datagram::recv_original(door, &mut buffer) {
                assert!(!got.cut);
                let asked = got.destination.socket_addr();
                shared
                    .notes
                    .lock()
                    .unwrap()
                    .datagrams
                    .push((asked, buffer[..got.length].to_vec()));
                let reply = if asked.is_ipv4() {
                    Socket::Answer4
                } else {
                    Socket::Answer6
                };
                if [53, 5000].contains(&asked.port())
                    && let Some((_, reply)) = all.iter().find(|(kind, _)| *kind == reply)
                {
                    let _ = datagram::send_from(
                        reply,
                        format!("door {asked}").as_bytes(),
                        asked,
                        got.source,
                    );
                }
            }
        }
        _ => {}
    }
}
