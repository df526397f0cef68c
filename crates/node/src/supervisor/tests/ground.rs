//! A supervisor whose enforcer is a process of the test's choice, and whose enforcer's words the test says.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use ringfence_compartment::link::{Event, FromNode, ToNode};
use ringfence_model::{Generation, HostName, InstanceId, UnitName};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::cgroup::Prefix;
use crate::claim::{Claimant, Owner, Program, Refusal};
use crate::counters::Counters;
use crate::enforcer::{EnforcerNews, Epoch};
use crate::generation::Desk;
use crate::instances::{Instances, ProcessId};
use crate::limits::LAUNCHER_BACKLOG;
use crate::quarantine::{Moment, Quarantines};
use crate::run_socket::{Answer, Claim, ConnectionId};
use crate::status::Status;
use crate::supervisor::{Fixed, Input, Inputs, Supervisor};
use crate::vouch::LauncherGroup;

/// Reads whatever it is told, and keeps it.
pub(super) const READS: &str = r#"exec dd bs=131072 status=none of="$0" <&3"#;
/// Reads nothing.
pub(super) const DEAF: &str = "exec sleep 1000";
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One agent.
pub(super) const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: {}
";

pub(super) struct Ground {
    temp: tempfile::TempDir,
    pub(super) supervisor: Supervisor,
    pub(super) inputs: mpsc::Receiver<Input>,
    /// Kept, so that launchers stay connected.
    pub(super) links: Vec<mpsc::Receiver<std::os::fd::OwnedFd>>,
    claims: u64,
}

/// What becomes of a claim.
pub(super) type Claimed = oneshot::Receiver<Result<Answer, Refusal>>;

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Ground {
    /// With `estate` on offer, and nothing started.
    pub(super) fn new(script: &str, estate: &str) -> Self {
        ringfence_compartment::raise_open_files().unwrap();
        let temp = tempfile::tempdir().unwrap();
        let (config, state) = (temp.path().join("config"), temp.path().join("state"));
        fs::create_dir(&config).unwrap();
        fs::create_dir(&state).unwrap();
        fs::write(config.join("estate.yaml"), estate).unwrap();
        let zone = HostName::new("ringfence.internal").unwrap();
        let counters = Counters::next_start(&state).unwrap();
        let desk = Desk::open(
            &state,
            config.clone(),
            zone.clone(),
            "node".into(),
            counters,
        );
        let desk = desk.unwrap();
        let meta = fs::metadata(&state).unwrap();
        let state_id = (meta.dev(), meta.ino());
        let heard = temp.path().join("heard");
        let fixed = Fixed {
            node: "node".into(),
            zone,
            state: state.clone(),
            state_id,
            log: state.join("log"),
            durability: Default::default(),
            evidence: Default::default(),
            sealed: Default::default(),
            sealing: crate::sealing::Orders::nowhere(),
            config,
            sockets: state.clone(),
            metrics: Vec::new(),
            exe: "/bin/sh".into(),
            enforcer_args: vec!["-c".into(), script.into(), heard.into()],
            run_as: None,
            owner: Owner(own_uid()),
            group: LauncherGroup::default(),
            groups: Prefix::of(state_id),
            outer_ids: false,
            state_option: String::new(),
            since: Timestamp::now(),
            predecessor: None,
        };
        let (instances, _, _) = Instances::open(&state, 1);
        let quarantines = Quarantines::open(&state, &Moment::now()).unwrap();
        let (inputs, queue) = mpsc::channel(1024);
        let (watched, _) = watch::channel(Vec::new());
        let nothing = desk.nothing().unwrap();
        Self {
            temp,
            supervisor: Supervisor::new(
                fixed,
                Inputs(inputs),
                desk,
                nothing,
                (instances, quarantines),
                watched,
            ),
            inputs: queue,
            links: Vec::new(),
            claims: 0,
        }
    }

    /// The same, with an enforcer that serves it.
    pub(super) fn serving(script: &str, estate: &str) -> Self {
        let mut ground = Self::new(script, estate);
        ground.read();
        ground.serve();
        ground
    }

    /// Reads the configuration, as a change of it makes the node do; the first time it starts an enforcer.
    pub(super) fn read(&mut self) {
        let mut desk = self.supervisor.desk.take().unwrap();
        let current = self.supervisor.target().digest.clone();
        let attempt = desk.read(&current, &[]);
        self.supervisor.read_done(desk, attempt);
    }

    /// Changes the configuration, and has it read.
    pub(super) fn reload(&mut self, estate: &str) {
        let path = self.temp.path().join("config/estate.yaml");
        fs::write(path, estate).unwrap();
        self.read();
    }

    /// Lets the enforcer say that it serves what it was given; starts one where there is none.
    pub(super) fn serve(&mut self) {
        self.ready();
        let generation = self.supervisor.target().generation;
        self.hear(ToNode::Loaded { generation });
    }

    /// Lets the enforcer say that it listens.
    pub(super) fn ready(&mut self) {
        self.supervisor.start_enforcer();
        self.hear(ToNode::Ready);
    }

    pub(super) fn hear(&mut self, said: ToNode) {
        let epoch = self.supervisor.child.epoch().unwrap();
        let news = EnforcerNews::Said(said);
        self.supervisor.take(Input::Enforcer(epoch, news));
    }

    /// How the enforcer ended, once it has.
    pub(super) async fn ended(&mut self) -> (Epoch, String) {
        let ended = async {
            loop {
                match self.inputs.recv().await {
                    Some(Input::Enforcer(epoch, EnforcerNews::Ended(how))) => return (epoch, how),
                    Some(_) => {}
                    None => panic!("nobody is left to say it"),
                }
            }
        };
        timeout(PATIENCE, ended)
            .await
            .unwrap_or_else(|_| panic!("the enforcer lives on"))
    }

    /// The supervisor learns how the enforcer ended.
    pub(super) async fn end(&mut self) -> String {
        let (epoch, how) = self.ended().await;
        let news = EnforcerNews::Ended(how.clone());
        self.supervisor.take(Input::Enforcer(epoch, news));
        how
    }

    /// Ends the enforcer as a crash would.
    pub(super) async fn kill(&mut self) {
        let pid = self.supervisor.child.pid().unwrap();
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        self.end().await;
    }

    /// The enforcer does not end within a moment.
    pub(super) async fn lives(&mut self) {
        let moment = Duration::from_millis(300);
        if let Ok((_, how)) = timeout(moment, self.ended()).await {
            panic!("the enforcer has ended: {how}");
        }
    }

    /// What the enforcer was told, once `enough` of it has come.
    pub(super) async fn told(&self, enough: impl Fn(&[FromNode]) -> bool) -> Vec<FromNode> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let bytes = fs::read(self.temp.path().join("heard")).unwrap_or_default();
            let said = serde_json::Deserializer::from_slice(&bytes).into_iter::<FromNode>();
            let said: Vec<FromNode> = said.map_while(Result::ok).collect();
            if enough(&said) {
                return said;
            }
            assert!(tokio::time::Instant::now() < end, "{} messages", said.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Of what was told until now nothing is kept.
    pub(super) fn forget(&self) {
        // One that was told nothing has left nothing.
        let _ = fs::remove_file(self.temp.path().join("heard"));
    }

    /// Claims `name` as this process, a launcher of the owner.
    pub(super) fn claim(&mut self, name: &str, resume: Option<InstanceId>) -> Claimed {
        let (links, handed) = mpsc::channel(LAUNCHER_BACKLOG);
        self.links.push(handed);
        self.claims += 1;
        let (answer, claimed) = oneshot::channel();
        let claim = Claim {
            connection: ConnectionId(self.claims),
            claimant: Claimant {
                uid: own_uid(),
                unit: Err::<UnitName, _>("none".into()),
                vouched: false,
            },
            process: ProcessId::of(std::process::id()).unwrap(),
            shown: None,
            program: Program::NotShown,
            name: name.into(),
            command: "test".into(),
            resume,
            rehearsal: false,
            links,
            answer,
        };
        self.supervisor.take(Input::Claim(claim));
        claimed
    }

    /// The instance that a claim of `name` is granted.
    pub(super) fn granted(&mut self, name: &str) -> InstanceId {
        match self.claim(name, None).try_recv().unwrap() {
            Ok(Answer::Granted(grant)) => grant.instance,
            Ok(Answer::Rehearsed(_)) => panic!("nothing was rehearsed"),
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    /// What operators are told.
    pub(super) fn status(&mut self) -> Status {
        let (answer, mut status) = oneshot::channel();
        self.supervisor.take(Input::Status(answer));
        self.supervisor.answer_all_questions();
        status.try_recv().unwrap()
    }

    /// Why the node is degraded.
    pub(super) fn degraded(&mut self) -> String {
        let reasons = self.status().degraded.into_iter();
        reasons.map(|one| one.reason).collect::<Vec<_>>().join("\n")
    }

    /// Events that wait for an enforcer, and were not lost: what they are, and why.
    pub(super) fn kept(&self) -> Vec<(String, String)> {
        let kept = self.supervisor.events.iter();
        kept.filter_map(event).collect()
    }

    pub(super) fn generation(&self) -> Generation {
        self.supervisor.target().generation
    }

    pub(super) fn path(&self) -> PathBuf {
        self.temp.path().to_owned()
    }
}

/// What an event says.
pub(super) fn event(said: &FromNode) -> Option<(String, String)> {
    match said {
        FromNode::Event(Event {
            operation, reason, ..
        }) => Some((operation.clone(), reason.clone())),
        _ => None,
    }
}
