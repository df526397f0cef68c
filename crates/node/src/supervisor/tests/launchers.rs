//! Launchers that wait, that do not read, that come in numbers.

use std::os::fd::OwnedFd;
use std::time::Duration;

use ringfence_compartment::link::{FromLauncher, LINK_VERSION, ToLauncher};
use ringfence_compartment::{channel, sockets};
use ringfence_model::InstanceId;
use rustix::fs::Mode;
use tokio::time::{Instant, timeout};

use super::ground::{DEAF, ESTATE, Ground, READS, own_uid};
use crate::cgroup::Prefix;
use crate::claim::{Owner, Program, Refusal};
use crate::ids::IdMap;
use crate::limits::{ENFORCER_WAIT, LAUNCHER_BACKLOG, PROGRAMS_AT_A_TIME, STRANGERS_MAX};
use crate::packets::Listener;
use crate::run_socket::{self, Claim, Stranger};
use crate::supervisor::{Input, Inputs};
use crate::vouch::LauncherGroup;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_claim_waits_so_long_for_the_enforcer_and_a_resumed_one_without_end() {
    let mut ground = Ground::serving(DEAF, ESTATE);
    let id = ground.granted("clerk");
    ground.kill().await;
    let before = Instant::now();
    let mut fresh = ground.claim("clerk", None);
    let mut resumed = ground.claim("clerk", Some(id));
    ground.supervisor.expire_claims(before + ENFORCER_WAIT);
    assert!(fresh.try_recv().is_err() && resumed.try_recv().is_err());
    let late = Instant::now() + ENFORCER_WAIT;
    ground.supervisor.expire_claims(late);
    let refusal = fresh.try_recv().unwrap().err().unwrap();
    assert!(
        refusal.reason.contains("the enforcer is not up"),
        "{refusal:?}"
    );
    let late = late + 100 * ENFORCER_WAIT;
    ground.supervisor.expire_claims(late);
    assert!(resumed.try_recv().is_err());
    ground.serve();
    assert!(resumed.try_recv().unwrap().is_ok());
}

#[tokio::test]
async fn so_many_strangers_are_told_of_once_each() {
    let mut ground = Ground::new(DEAF, ESTATE);
    // Users enough that none has more than are recorded one by one.
    let mut told = |number: usize| {
        let before = ground.kept().len();
        ground.supervisor.stranger(&Stranger {
            uid: 70_000 + (number % 8) as u32,
            pid: number as i32,
            refusal: Refusal::new("another version", "exchange one"),
        });
        ground.kept().len() > before
    };
    assert!((0..STRANGERS_MAX).all(&mut told));
    assert!(!(0..STRANGERS_MAX - 1).any(&mut told), "told of twice");
    // One more, and all are forgotten.
    assert!(told(STRANGERS_MAX));
    assert!((0..8).all(&mut told));
}

/// A claim of `clerk`, whose program is looked at, as it comes back.
async fn looked(ground: &mut Ground, within: Duration) -> Program {
    let shown = rustix::fs::open("/bin/true", rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    // Taken back before it is decided: it waits for an enforcer.
    let _claimed = ground.claim("clerk", None);
    let waiting = ground.supervisor.waiting.pop().unwrap();
    let claim = Claim {
        shown: Some(shown),
        program: Program::Shown,
        ..waiting.into_claim()
    };
    ground.supervisor.look_within(within, claim, true);
    match timeout(PATIENCE, ground.inputs.recv()).await.unwrap() {
        Some(Input::Claim(claim)) => claim.program,
        _ => panic!("the claim is lost"),
    }
}

#[tokio::test]
async fn so_many_programs_are_looked_at_at_a_time_and_others_wait_no_longer_than_they_may() {
    let mut ground = Ground::new(DEAF, ESTATE);
    let looks = std::sync::Arc::clone(&ground.supervisor.looks);
    // Looks that hang, as in a dead file system.
    let one = looks.acquire().await.unwrap();
    let others = u32::try_from(PROGRAMS_AT_A_TIME - 1).unwrap();
    let others = looks.acquire_many(others).await.unwrap();
    let short = Duration::from_millis(100);
    let began = Instant::now();
    let program = looked(&mut ground, short).await;
    assert!(began.elapsed() >= short);
    let Program::Seen(Err(why)) = program else {
        panic!("{program:?}");
    };
    assert!(why.contains("could not be read within 100ms"), "{why}");
    drop(one);
    let program = looked(&mut ground, PATIENCE).await;
    assert!(!matches!(program, Program::Seen(Err(ref why)) if why.contains("within")));
    assert_eq!(looks.available_permits(), 1);
    drop(others);
}

/// A launcher at a real `run.sock`.
struct Launcher {
    socket: OwnedFd,
    instance: InstanceId,
}

impl Launcher {
    fn says(ground: &Ground, resume: Option<InstanceId>) -> OwnedFd {
        let socket = sockets::connect(&ground.path(), "run.sock").unwrap();
        rustix::io::ioctl_fionbio(&socket, true).unwrap();
        let claim = FromLauncher::Claim {
            version: LINK_VERSION,
            name: "clerk".into(),
            command: "test".into(),
            resume,
        };
        channel::send(&socket, &claim, &[]).unwrap();
        socket
    }

    async fn new(ground: &mut Ground, resume: Option<InstanceId>) -> Self {
        let socket = Self::says(ground, resume);
        let end = Instant::now() + PATIENCE;
        loop {
            pump(ground).await;
            match channel::try_recv::<ToLauncher>(&socket) {
                Ok(Some(packet)) => match packet.message {
                    ToLauncher::Granted(grant) => {
                        let instance = grant.instance;
                        return Self { socket, instance };
                    }
                    other => panic!("{other:?}"),
                },
                Ok(None) => panic!("hung up"),
                Err(_) => assert!(Instant::now() < end, "no answer"),
            }
        }
    }

    /// How many links came since it last looked, and whether it is still connected.
    fn links(&self) -> (usize, bool) {
        let mut links = 0;
        loop {
            match channel::try_recv::<ToLauncher>(&self.socket) {
                Ok(Some(packet)) => {
                    assert_eq!(packet.message, ToLauncher::Link);
                    links += 1;
                }
                Ok(None) => return (links, false),
                Err(_) => return (links, true),
            }
        }
    }
}

/// Lets everything else have its turn, and the supervisor what comes of it, but for ends of enforcers and their starts.
async fn pump(ground: &mut Ground) {
    let turn = Duration::from_millis(2);
    while let Ok(Some(input)) = timeout(turn, ground.inputs.recv()).await {
        if !matches!(input, Input::Enforcer(..) | Input::StartEnforcer) {
            ground.supervisor.take(input);
        }
    }
}

#[tokio::test]
async fn a_launcher_that_does_not_read_is_cut_off_and_comes_back() {
    let mut ground = Ground::serving(READS, ESTATE);
    let mode = Mode::RWXU;
    let listening = sockets::listen(&ground.path(), "run.sock", mode).unwrap();
    tokio::spawn(run_socket::serve(
        Listener::new(listening).unwrap(),
        IdMap::of_this_process().unwrap().0,
        LauncherGroup::default(),
        Owner(own_uid()),
        Prefix::of((0, 0)),
        Inputs(ground.supervisor.inputs.0.clone()),
    ));
    let deaf = Launcher::new(&mut ground, None).await;
    let reads = Launcher::new(&mut ground, None).await;
    pump(&mut ground).await;
    assert_eq!(reads.links(), (1, true));
    // Each enforcer is a link more. The kernel takes some hundred for the launcher before the node has to keep any.
    let (mut links, most) = (1, LAUNCHER_BACKLOG + 1000);
    while ground.supervisor.links.contains_key(&deaf.instance) {
        assert!(links < most, "{links} links wait for it");
        ground.kill().await;
        ground.serve();
        pump(&mut ground).await;
        links += 1;
        assert_eq!(
            reads.links(),
            (1, true),
            "another one is linked all the while"
        );
    }
    assert!(links > LAUNCHER_BACKLOG, "cut off after {links} links");
    // What waited for it is all that it still gets.
    let (mut taken, end) = (0, Instant::now() + PATIENCE);
    loop {
        let (more, connected) = deaf.links();
        taken += more;
        if !connected {
            break;
        }
        assert!(
            Instant::now() < end,
            "{taken} of {links}, and it is connected"
        );
        pump(&mut ground).await;
    }
    assert_eq!(taken, links - 1);
    // It holds its doors, and is linked when it comes back.
    let instance = deaf.instance.clone();
    drop(deaf);
    let back = Launcher::new(&mut ground, Some(instance.clone())).await;
    pump(&mut ground).await;
    assert_eq!((&back.instance, back.links()), (&instance, (1, true)));
}
