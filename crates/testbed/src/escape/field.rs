//! A node with an attacker inside, and everything it must not reach around it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringfence_model::Outcome;

use super::canary::{self, Told};
use super::giver;
use super::ground::{
    CANARY_PORT, DEVICE, ECHO_PORT, Ground, HOST_V4, HOST_V6, LINK_V6, METADATA_V4, VAULT_PORT,
};
use super::senses::{ASKED, STANDS, TOLD, TOUCH};
use super::{Control, Record, Start, Subject, Technique};
use crate::{Caller, Node, NodeOptions, Output, Process, Running, TestbedError};

/// What one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// For the canary and the neighbour to stand.
const STAND: Duration = Duration::from_secs(20);
/// For a canary to tell what it felt.
const TELL: Duration = Duration::from_secs(20);

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: echo }
spec: { protocol: tcp, port: 7000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: vault }
spec: { protocol: tcp, port: 9000 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: attacker }
spec: { purpose: has been turned by what it read }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: honest }
spec: { purpose: shows that the house still stands }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: attacker }
spec: { agent: attacker, mode: enforce, initiate: [{ service: echo, operations: [connect] }] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: honest }
spec: { agent: honest, mode: enforce, initiate: [{ service: echo, operations: [connect] }] }
"#;

/// Sets up the host's own addresses.
const NETWORK: &str = r#"
set -e
ip link add "$0" type veth peer name canary1
ip address add "$1/24" dev "$0"
ip address add "$2/64" dev "$0" nodad
ip address add "$3/16" dev "$0" scope link
ip address add "$4/64" dev "$0" nodad
ip link set canary1 up
ip link set "$0" up
"#;

/// The house under attack. Ends with everything in it.
pub struct Field {
    node: Node,
    attacker: PathBuf,
    work: PathBuf,
    secret: String,
    ground: Ground,
    canary: Process,
    neighbour: Running,
    echo: Running,
    enforcer: u32,
    /// How much of what canary and neighbour said has been looked at.
    seen: (usize, usize),
}

impl Field {
    /// A node of `caller` with `ringfence` at `binary`, and the attacker's program.
    pub fn new(binary: &Path, attacker: &Path, caller: Caller) -> Result<Self, TestbedError> {
        let options = NodeOptions::new(binary)
            .caller(caller)
            .file("estate.yaml", ESTATE);
        let node = options.start()?;
        let host = node.host();
        let outside = host.directory("outside")?;
        let work = host.directory("attacker")?;
        let program = work.join("attacker");
        std::fs::copy(attacker, &program)
            .map_err(TestbedError::io(attacker.display().to_string()))?;
        host.own(&program)?;
        let [v4, v6, metadata, link] = [
            HOST_V4.to_string(),
            HOST_V6.to_string(),
            METADATA_V4.to_string(),
            LINK_V6.to_string(),
        ];
        succeeded(
            "the host's addresses",
            &host.run_as_root(["sh", "-c", NETWORK, DEVICE, &v4, &v6, &metadata, &link])?,
        )?;
        let secret = secret()?;
        let program = program.display().to_string();
        let directory = outside.display().to_string();
        let canary = host.start([program.as_str(), "canary", &directory, &secret])?;
        let told = stands(&canary)?;
        let told: Told = serde_json::from_str(&told).map_err(|cause| TestbedError::Answer {
            what: "the canary".into(),
            said: cause.to_string(),
        })?;
        let inside = |name: &str, words: &[&str]| {
            let directory = host.directory(&format!("work-{name}"))?;
            let program = directory.join("attacker");
            std::fs::copy(attacker, &program)
                .map_err(TestbedError::io(attacker.display().to_string()))?;
            host.own(&program)?;
            let launch = node.workload(name).workdir(&directory).open_stdin();
            let running = launch.spawn(&[&["/work/attacker"], words].concat())?;
            stands(&running.process)?;
            Ok::<_, TestbedError>(running)
        };
        let name = format!("neighbour-{}", std::process::id());
        let neighbour = inside("vault", &["neighbour", &name, &secret])?;
        let echo = inside("echo", &["echo"])?;
        let enforcer = node.enforcer()?;
        let ground = Ground {
            port: CANARY_PORT,
            v4: HOST_V4,
            v6: HOST_V6,
            metadata: METADATA_V4,
            link_local: LINK_V6,
            device: DEVICE.to_owned(),
            pid: told.pid,
            memory: told.memory,
            file: outside.join("secret"),
            socket: outside.join("socket"),
            abstract_socket: canary::abstract_name(&outside),
            fifo: outside.join("fifo"),
            sysv_key: told.sysv_key,
            posix_name: canary::posix_name(&outside),
            neighbour_path: Path::new("/tmp").join(&name),
            neighbour_socket: name,
            node: node.pid(),
            enforcer,
            state: node.state().to_owned(),
            config: node.config().to_owned(),
            echo: ("echo".into(), ECHO_PORT),
            vault: ("vault".into(), VAULT_PORT),
        };
        Ok(Self {
            node,
            attacker: work.join("attacker"),
            work,
            secret,
            ground,
            canary,
            neighbour,
            echo,
            enforcer,
            seen: (0, 0),
        })
    }

    /// Tries every technique of a subject whose name contains `only`. Gives what went wrong, empty when all held.
    pub fn try_all(&mut self, subject: &Subject, only: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let chosen = subject
            .techniques
            .iter()
            .filter(|technique| technique.name.contains(only));
        for technique in chosen {
            let start = Instant::now();
            let came = self.try_one(technique);
            let time = start.elapsed().as_millis();
            match came {
                Ok(told) => println!("{}: {told} ({time} ms)", technique.name),
                Err(why) => {
                    println!("{}: FAILED: {why}", technique.name);
                    wrong.push(format!("{} ({}): {why}", technique.name, technique.tries));
                }
            }
        }
        wrong
    }

    /// Control and attempt. Gives how it held.
    fn try_one(&mut self, technique: &Technique) -> Result<String, String> {
        let io = |cause: TestbedError| cause.to_string();
        let bare = self.outside(technique).map_err(io)?;
        let breach = self.breach(&bare).map_err(io)?;
        match (technique.control, &breach) {
            (Control::Superuser, None) if !Caller::available().contains(&Caller::Root) => {}
            (Control::Lacking(_), None) => {}
            (Control::Built, None) if is_not_built(&bare) => {}
            (Control::Lacking(why), Some(breach)) => {
                return Err(format!(
                    "works outside after all ({why}): {breach}; give it a control"
                ));
            }
            (_, Some(_)) => {}
            (_, None) => {
                return Err(format!(
                    "the control did not succeed, so nothing is shown: {}",
                    told(&bare)
                ));
            }
        }
        let seq = self.node.head().map_err(io)?;
        let inside = self.inside(technique).map_err(io)?;
        if let Some(breach) = self.breach(&inside).map_err(io)? {
            return Err(format!("BREACH: {breach}"));
        }
        let held = held(&inside)?;
        self.recorded(technique, seq)?;
        self.stands()?;
        Ok(held)
    }

    fn ground(&self) -> Result<String, TestbedError> {
        serde_json::to_string(&self.ground).map_err(|cause| TestbedError::Answer {
            what: "the ground".into(),
            said: cause.to_string(),
        })
    }

    fn words(&self, program: &str, technique: &Technique) -> Result<Vec<String>, TestbedError> {
        let words = [program, "attack", technique.name, &self.ground()?];
        Ok(words.map(str::to_owned).to_vec())
    }

    /// Words that start `command` as a technique wants it.
    fn given(&self, start: Start, command: Vec<String>) -> Result<Vec<String>, TestbedError> {
        let program = self.attacker.display().to_string();
        let mut words = giver::words(start, &program, &self.ground()?);
        words.extend(command);
        Ok(words)
    }

    fn outside(&self, technique: &Technique) -> Result<Output, TestbedError> {
        let host = self.node.host();
        let words = self.words(&self.attacker.display().to_string(), technique)?;
        let words = self.given(technique.start, words)?;
        let command = match technique.control {
            Control::Caller | Control::Lacking(_) => host.as_caller(None, words),
            Control::Root | Control::Superuser | Control::Built => host.as_root(words),
            Control::Apart => {
                let apart = [
                    "unshare",
                    "--net",
                    "--mount",
                    "--pid",
                    "--ipc",
                    "--uts",
                    "--fork",
                    "--kill-child",
                    "--mount-proc",
                    "--",
                ];
                host.as_root(apart.into_iter().map(str::to_owned).chain(words))
            }
        };
        Process::start("a control", command, Some(Vec::new()))?.wait(ATTEMPT)
    }

    fn inside(&self, technique: &Technique) -> Result<Output, TestbedError> {
        let words = self.words("/work/attacker", technique)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut launch = self
            .node
            .workload("attacker")
            .workdir(&self.work)
            .limit(ATTEMPT);
        if self.node.host().caller() == Caller::Root {
            launch = launch.user("0");
        }
        match technique.start {
            Start::Plain => launch.run(&words),
            start => {
                let words = self.given(start, launch.words(&words))?;
                let command = self.node.host().as_caller(None, words);
                Process::start("an attempt", command, Some(Vec::new()))?.wait(ATTEMPT)
            }
        }
    }

    /// What was reached that must not be.
    fn breach(&mut self, output: &Output) -> Result<Option<String>, TestbedError> {
        let felt = [
            all_told(&mut self.canary, &mut self.seen.0)?,
            all_told(&mut self.neighbour.process, &mut self.seen.1)?,
        ];
        let touch = felt
            .iter()
            .flat_map(|felt| felt.lines())
            // What was given to the attacker is felt by whoever gave it.
            .chain(output.stdout.lines())
            .find(|line| line.starts_with(TOUCH));
        let shown = output.stdout.contains(&self.secret) || output.stderr.contains(&self.secret);
        let claim = output
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("verdict through: "));
        Ok(match (touch, shown, claim) {
            (Some(touch), _, _) => Some(format!("the outside was {touch}")),
            (None, true, _) => Some("the canary's secret is known".to_owned()),
            (None, false, Some(claim)) => Some(claim.to_owned()),
            (None, false, None) => None,
        })
    }

    fn recorded(&self, technique: &Technique, seq: u64) -> Result<(), String> {
        let wanted: &[&str] = match &technique.record {
            Record::Nothing(_) => return Ok(()),
            Record::Denied(one) => &[*one],
            Record::DeniedEach(all) => all,
        };
        let looked = self.node.await_that("the record of the attempt", |node| {
            let denied = node.flows_where(seq, |flow| {
                flow.source == "attacker" && flow.outcome == Outcome::Deny
            })?;
            let lines: Vec<_> = denied
                .iter()
                .filter_map(|flow| serde_json::to_string(flow).ok())
                .collect();
            let every = wanted
                .iter()
                .all(|text| lines.iter().any(|line| line.contains(text)));
            Ok(every.then_some(()))
        });
        looked.map_err(|_| format!("not every one of {wanted:?} was recorded as denied"))
    }

    /// Whether the house stands as before.
    fn stands(&mut self) -> Result<(), String> {
        let io = |cause: TestbedError| cause.to_string();
        let (code, status) = self.node.status().map_err(io)?;
        if code != 0 {
            return Err(format!("the node is not well any more: {status}"));
        }
        if status["enforcer"]["pid"].as_u64() != Some(u64::from(self.enforcer)) {
            return Err("the enforcer is another one".to_owned());
        }
        for (what, process) in [
            ("the canary", &mut self.canary),
            ("the neighbour", &mut self.neighbour.process),
            ("echo", &mut self.echo.process),
        ] {
            if !process.is_running().map_err(io)? {
                return Err(format!("{what} has ended: {}", process.stderr()));
            }
        }
        let work = self.node.host().path().join("attacker");
        let launch = self.node.workload("honest").workdir(&work);
        let honest = launch
            .run(&["/work/attacker", "honest", "echo"])
            .map_err(io)?;
        match honest.code {
            Some(0) => Ok(()),
            _ => Err(format!(
                "what is allowed does not work any more: {}",
                told(&honest)
            )),
        }
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        // It takes its shared objects away; a canary that does not end is killed.
        self.canary.close_stdin();
        let _ = self.canary.wait(Duration::from_secs(2));
    }
}

fn told(output: &Output) -> String {
    let (out, err) = (output.stdout.trim(), output.stderr.trim());
    format!(
        "code {:?}, signal {:?}: {out} {err}",
        output.code, output.signal
    )
}

/// How an attempt ended that reached nothing. One that broke by itself shows nothing.
fn held(output: &Output) -> Result<String, String> {
    let said = output
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("verdict held: "));
    match (said, output.code) {
        (Some(why), _) => Ok(format!("held: {why}")),
        // A kill by the kernel, as the launcher passes it on.
        (None, Some(code)) if code > 128 => Ok(format!("held: killed by signal {}", code - 128)),
        (None, _) => Err(format!("the attacker broke: {}", told(output))),
    }
}

/// Whether this kernel was built without what an attempt asked for, by its own word: an unknown family, type or
/// protocol.
fn is_not_built(output: &Output) -> bool {
    let unknown = [
        libc::EAFNOSUPPORT,
        libc::EPROTONOSUPPORT,
        libc::ESOCKTNOSUPPORT,
    ];
    let said = held(output).unwrap_or_default();
    said.contains("(os error")
        && said
            .split("(os error ")
            .skip(1)
            .filter_map(|rest| rest.split(')').next()?.parse().ok())
            .all(|number: i32| unknown.contains(&number))
}

fn succeeded(what: &str, output: &Output) -> Result<(), TestbedError> {
    match output.code {
        Some(0) => Ok(()),
        _ => Err(TestbedError::Answer {
            what: what.into(),
            said: told(output),
        }),
    }
}

/// Asks a canary for all that came before, and waits for its answer. Gives what it has said since `seen`.
fn all_told(canary: &mut Process, seen: &mut usize) -> Result<String, TestbedError> {
    canary.write(format!("{ASKED}\n").as_bytes())?;
    let deadline = Instant::now() + TELL;
    loop {
        let said = canary.stdout();
        let new = &said[*seen..];
        if let Some(end) = new.find(TOLD) {
            let felt = new[..end].to_owned();
            *seen += end + TOLD.len();
            return Ok(felt);
        }
        if Instant::now() > deadline || !canary.is_running()? {
            return Err(TestbedError::Late {
                what: "a canary did not answer".into(),
                seconds: TELL.as_secs(),
                said: format!("{said}{}", canary.stderr()),
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a canary stands. Gives what it told.
fn stands(process: &Process) -> Result<String, TestbedError> {
    process.wait_stdout(STANDS, STAND)?;
    let text = process.stdout();
    let line = text.lines().find_map(|line| line.strip_prefix(STANDS));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// Something that nobody can guess.
fn secret() -> Result<String, TestbedError> {
    use std::fmt::Write;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| std::io::Read::read_exact(&mut random, &mut bytes))
        .map_err(TestbedError::io("/dev/urandom"))?;
    let mut text = String::from("secret-");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
