use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

use ringfence_compartment::channel;
use ringfence_compartment::link::{Attempt, FromEnforcer, Socket, ToEnforcer};
use ringfence_model::flow::{Kind, Outcome};
use ringfence_model::{InstanceId, Kind as WorkloadKind, Name, WorkloadId};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::limits::LOOKUP_THREADS;
use crate::testing::{Stopped, World, assignment, until};

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
"#;

/// The node's side of a running enforcer.
struct Fixture {
    world: World,
    link: Link,
    enforcer: JoinHandle<io::Result<()>>,
}

impl Fixture {
    async fn new() -> Self {
        let world = World::new(ESTATE);
        let (near, far) = channel::pair().unwrap();
        let enforcer = tokio::spawn(run(Arc::clone(&world.node), far));
        let fixture = Self {
            world,
            link: Link::new(near).unwrap(),
            enforcer,
        };
        assert_eq!(fixture.hear().await, ToNode::Ready);
        fixture
    }

    async fn hear(&self) -> ToNode {
        let heard = timeout(Duration::from_secs(5), self.link.recv()).await;
        heard
            .expect("no answer")
            .unwrap()
            .expect("it has gone")
            .message
    }

    /// Sends with descriptors, and waits for room.
    async fn say(&self, message: &FromNode, descriptors: &[OwnedFd]) {
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        loop {
            match self.link.send_with(message, &borrowed) {
                Ok(()) => return,
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(cause) => panic!("{cause}"),
            }
        }
    }

    async fn load(&self, generation: u64, content: &[u8]) -> ToNode {
        let memory = memfd::sealed("assignment", content).unwrap();
        let generation = Generation(generation);
        self.say(&FromNode::Load { generation }, &[memory]).await;
        self.hear().await
    }

    async fn status(&self) -> (Option<Generation>, u64, Option<String>) {
        self.say(&FromNode::AskStatus { id: 9 }, &[]).await;
        match self.hear().await {
            ToNode::Status {
                id: 9,
                generation,
                log_head,
                log_trouble,
                connections: 0,
                ..
            } => (generation, log_head, log_trouble),
            other => panic!("{other:?}"),
        }
    }

    /// A launcher's side of a fresh compartment.
    async fn adopt(&self, kind: WorkloadKind, instance: &str) -> Link {
        let (launcher, enforcer) = channel::pair().unwrap();
        let workload = WorkloadId {
            kind,
            name: Name::new("agent").unwrap(),
        };
        let instance = InstanceId(instance.into());
        let message = FromNode::Adopt {
            instance,
            workload,
            uid: 1000,
            pid: 4,
        };
        self.say(&message, &[enforcer]).await;
        Link::new(launcher).unwrap()
    }
}

fn content() -> Vec<u8> {
    serde_json::to_vec(&assignment(ESTATE, BTreeMap::new())).unwrap()
}

#[tokio::test]
async fn takes_a_generation_and_keeps_it_when_the_next_is_unfit() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.status().await.0, None);
    assert_eq!(
        fixture.load(5, &content()).await,
        ToNode::Loaded {
            generation: Generation(5)
        }
    );
    for unfit in [&b"not json"[..], b"{}"] {
        let answer = fixture.load(6, unfit).await;
        assert!(
            matches!(
                answer,
                ToNode::Rejected {
                    generation: Generation(6),
                    ..
                }
            ),
            "{answer:?}"
        );
    }
    assert_eq!(fixture.status().await.0, Some(Generation(5)));
    assert_eq!(
        fixture.world.node.current.load().snapshot.generation(),
        Generation(5)
    );
}

#[tokio::test]
async fn an_unsealed_or_missing_generation_is_rejected() {
    let fixture = Fixture::new().await;
    let generation = Generation(5);
    fixture.say(&FromNode::Load { generation }, &[]).await;
    assert!(matches!(fixture.hear().await, ToNode::Rejected { .. }));
    let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    fixture.say(&FromNode::Load { generation }, &[file]).await;
    assert!(matches!(fixture.hear().await, ToNode::Rejected { .. }));
}

#[tokio::test]
async fn records_events_and_tells_how_the_log_stands() {
    let fixture = Fixture::new().await;
    fixture.load(5, &content()).await;
    let event = FromNode::Event(Event {
        operation: "reload rejected".to_owned(),
        reason: "line 3".to_owned(),
        subject: Some("agent".to_owned()),
        ok: false,
    });
    fixture.say(&event, &[]).await;
    assert_eq!(fixture.status().await, (Some(Generation(5)), 1, None));
    let flows = fixture.world.flows();
    let flow = &flows[0];
    assert_eq!((flow.kind(), flow.outcome()), (Kind::Event, Outcome::Error));
    assert_eq!(
        (flow.operation.as_str(), flow.reason.as_str()),
        ("reload rejected", "line 3")
    );
    assert_eq!(
        (flow.source.as_str(), flow.node.as_str(), flow.generation),
        ("agent", "here", 5)
    );
    fixture.world.break_log().await;
    assert!(fixture.status().await.2.is_some());
}

#[tokio::test]
async fn ends_when_told_and_when_the_node_has_gone() {
    let fixture = Fixture::new().await;
    fixture.say(&FromNode::Stop, &[]).await;
    timeout(Duration::from_secs(5), fixture.enforcer)
        .await
        .unwrap()
        .unwrap()
        .unwrap();

    let fixture = Fixture::new().await;
    drop(fixture.link);
    timeout(Duration::from_secs(5), fixture.enforcer)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

/// `STOP_TIMEOUT`: a connection that does not close keeps the node no longer, and one that closes in time is waited for.
#[tokio::test]
async fn a_connection_that_does_not_close_holds_up_the_end_for_so_long_and_no_longer() {
    let fixture = Fixture::new().await;
    let hangs = fixture.world.node.slots.take().unwrap();
    let time = Stopped::now();
    fixture.say(&FromNode::Stop, &[]).await;
    time.pass(Duration::ZERO).await;
    time.ends_after(STOP_TIMEOUT, &fixture.enforcer).await;
    fixture.enforcer.await.unwrap().unwrap();
    drop(hangs);

    let fixture = Fixture::new().await;
    let closes = fixture.world.node.slots.take().unwrap();
    fixture.say(&FromNode::Stop, &[]).await;
    time.pass(STOP_TIMEOUT / 2).await;
    assert!(!fixture.enforcer.is_finished());
    drop(closes);
    until("it ends", || fixture.enforcer.is_finished()).await;
}

/// `LOOKUP_THREADS`: all of them are taken, as by names whose servers are silent. Policy does not wait for them.
#[test]
fn a_generation_comes_into_force_while_every_thread_for_names_is_taken() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(LOOKUP_THREADS)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let fixture = Fixture::new().await;
        let (_hang, silent) = std::sync::mpsc::channel::<()>();
        let silent = Arc::new(std::sync::Mutex::new(silent));
        for _ in 0..LOOKUP_THREADS {
            let silent = Arc::clone(&silent);
            tokio::task::spawn_blocking(move || {
                let _at_the_end_of_the_test = silent.lock().unwrap().recv();
            });
        }
        let generation = Generation(5);
        assert_eq!(
            fixture.load(5, &content()).await,
            ToNode::Loaded { generation }
        );
    });
}

#[tokio::test]
async fn a_launcher_that_hands_over_sockets_of_the_host_is_put_out() {
    let fixture = Fixture::new().await;
    let launcher = fixture.adopt(WorkloadKind::Agent, "agent-1-1").await;
    let host = OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let sockets = ToEnforcer::Sockets {
        sockets: vec![Socket::TcpDoor4],
    };
    launcher.send_with(&sockets, &[host.as_fd()]).unwrap();
    let answer = launcher
        .recv::<FromEnforcer>()
        .await
        .unwrap()
        .unwrap()
        .message;
    assert!(
        matches!(&answer, FromEnforcer::Rejected { reason } if reason.contains("host")),
        "{answer:?}"
    );
    assert!(
        launcher.recv::<FromEnforcer>().await.unwrap().is_none(),
        "the link is closed"
    );
    let flows = fixture.world.flows_when(1).await;
    assert_eq!(
        (flows[0].kind(), flows[0].outcome()),
        (Kind::Event, Outcome::Error)
    );
    assert_eq!(
        (flows[0].operation.as_str(), flows[0].source.as_str()),
        ("compartment put out", "agent")
    );
}

#[tokio::test]
async fn arming_without_doors_is_refused() {
    let fixture = Fixture::new().await;
    let launcher = fixture.adopt(WorkloadKind::Agent, "agent-1-1").await;
    launcher
        .send(&ToEnforcer::Arm {
            walls: Vec::new(),
            unbounded: Vec::new(),
            version: String::new(),
        })
        .await
        .unwrap();
    let answer = launcher
        .recv::<FromEnforcer>()
        .await
        .unwrap()
        .unwrap()
        .message;
    assert!(
        matches!(answer, FromEnforcer::Rejected { .. }),
        "{answer:?}"
    );
}

#[tokio::test]
async fn descriptors_where_none_belong_end_the_link() {
    let fixture = Fixture::new().await;
    let launcher = fixture.adopt(WorkloadKind::Agent, "agent-1-1").await;
    let stowaway = std::fs::File::open("/dev/null").unwrap();
    launcher
        .send_with(
            &ToEnforcer::Attempts {
                attempts: Vec::new(),
            },
            &[stowaway.as_fd()],
        )
        .unwrap();
    assert!(launcher.recv::<FromEnforcer>().await.unwrap().is_none());
}

#[tokio::test]
async fn nonsense_from_one_launcher_hurts_no_other() {
    let fixture = Fixture::new().await;
    let (raw, enforcer) = channel::pair().unwrap();
    let workload = WorkloadId {
        kind: WorkloadKind::Agent,
        name: Name::new("agent").unwrap(),
    };
    let instance = InstanceId("agent-1-1".into());
    fixture
        .say(
            &FromNode::Adopt {
                instance,
                workload,
                uid: 0,
                pid: 1,
            },
            &[enforcer],
        )
        .await;
    let honest = fixture.adopt(WorkloadKind::Agent, "agent-1-2").await;
    rustix::net::send(&raw, b"\xff\x00{", rustix::net::SendFlags::empty()).unwrap();
    fixture.world.flows_when(1).await;
    honest
        .send(&ToEnforcer::Attempts {
            attempts: Vec::new(),
        })
        .await
        .unwrap();
    let answer = honest
        .recv::<FromEnforcer>()
        .await
        .unwrap()
        .unwrap()
        .message;
    assert_eq!(answer, FromEnforcer::Recorded { messages: 1 });
}

#[tokio::test]
async fn attempts_become_records_of_who_is_known_by_the_link() {
    let fixture = Fixture::new().await;
    let launcher = fixture.adopt(WorkloadKind::Agent, "agent-1-7").await;
    let wall = Attempt {
        time_ns: 1_000,
        wall: true,
        protocol: "system call".to_owned(),
        operation: "socket AF_PACKET".to_owned(),
        destination: None,
        reason: "seccomp".to_owned(),
        count: 3,
        last_ns: 2_000,
    };
    let away = Attempt {
        time_ns: u64::MAX,
        wall: false,
        protocol: "tcp".to_owned(),
        operation: "connect".to_owned(),
        destination: Some("127.0.77.1:9".parse().unwrap()),
        reason: "enforcer away".to_owned(),
        count: 0,
        last_ns: u64::MAX,
    };
    launcher
        .send(&ToEnforcer::Attempts {
            attempts: vec![wall, away],
        })
        .await
        .unwrap();
    let answer = launcher
        .recv::<FromEnforcer>()
        .await
        .unwrap()
        .unwrap()
        .message;
    assert_eq!(answer, FromEnforcer::Recorded { messages: 1 });
    let flows = fixture.world.flows();
    assert!(flows.iter().all(|flow| flow.outcome() == Outcome::Deny));
    assert!(
        flows
            .iter()
            .all(|flow| flow.source == "agent" && flow.source_instance == "agent-1-7")
    );
    let [wall, away] = &flows[..] else {
        panic!("{flows:#?}")
    };
    assert_eq!(
        (wall.kind(), wall.count, wall.time_ns, wall.last_time_ns),
        (Kind::Wall, 3, 1_000, 2_000)
    );
    assert_eq!(
        (wall.protocol.as_str(), wall.operation.as_str()),
        ("system call", "socket AF_PACKET")
    );
    assert_eq!(
        (
            away.kind(),
            away.count,
            away.last_time_ns,
            away.reason.as_str()
        ),
        (Kind::Connection, 1, 0, "enforcer away")
    );
    assert_eq!(
        (
            away.destination.as_str(),
            away.original_destination.as_str()
        ),
        ("agent", "127.0.77.1:9")
    );
    assert!(away.time_ns < u64::MAX, "a time to come is not believed");
}

#[test]
fn facts_of_many_compartments_fit_into_messages_and_none_is_left_out() {
    use ringfence_compartment::figures::Said;
    let texts = vec!["\\\"".repeat(100); 16];
    let facts = (0..1024).map(|number| Facts {
        instance: InstanceId(format!("{}-1-{number}", "n".repeat(63)).into()),
        connections: u64::MAX,
        said: Some(Said {
            version: "v".repeat(200),
            walls: texts.clone(),
            unbounded: texts.clone(),
        }),
    });
    let lists = super::packed(facts);
    assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), 1024);
    for compartments in lists {
        let message = ToNode::Compartments { compartments };
        assert!(serde_json::to_vec(&message).unwrap().len() <= MESSAGE_MAX);
    }
    assert!(super::packed(std::iter::empty()).is_empty());
}

#[tokio::test]
async fn a_quarantine_is_in_force_before_it_is_answered_and_outlives_generations() {
    let fixture = Fixture::new().await;
    let agent = Name::new("agent").unwrap();
    let impose = async |id, names: &[&Name]| {
        let list: Vec<_> = names
            .iter()
            .map(|name| Quarantine {
                name: (*name).clone(),
                why: "by a test".to_owned(),
            })
            .collect();
        let list = memfd::sealed("list", &serde_json::to_vec(&list).unwrap()).unwrap();
        let event = Some(Event {
            operation: "quarantine".to_owned(),
            reason: "odd".to_owned(),
            subject: Some("agent".to_owned()),
            ok: true,
        });
        fixture
            .say(&FromNode::Quarantine { id, event }, &[list])
            .await;
        fixture.hear().await
    };
    let in_force = || {
        let force = fixture.world.node.current.load();
        force.quarantined.why(&agent).map(str::to_owned)
    };
    // Before the first generation, as after every restart.
    let answer = impose(3, &[&agent]).await;
    assert!(
        matches!(
            answer,
            ToNode::Quarantined {
                id: 3,
                left: 0,
                recorded: true,
                ..
            }
        ),
        "{answer:?}"
    );
    assert_eq!(in_force().as_deref(), Some("by a test"));
    fixture.load(5, &content()).await;
    assert!(in_force().is_some());
    fixture
        .say(
            &FromNode::AskCut {
                id: 4,
                name: agent.clone(),
            },
            &[],
        )
        .await;
    assert!(matches!(
        fixture.hear().await,
        ToNode::WouldCut { id: 4, .. }
    ));
    impose(5, &[]).await;
    assert_eq!(in_force(), None);
    let events: Vec<_> = fixture.world.flows();
    assert_eq!(events.len(), 2);
    fixture.world.break_log().await;
    let answer = impose(6, &[&agent]).await;
    assert!(
        matches!(
            answer,
            ToNode::Quarantined {
                recorded: false,
                ..
            }
        ),
        "{answer:?}"
    );
    assert!(in_force().is_some());
}

#[tokio::test]
async fn a_quarantine_does_not_wait_for_a_large_generation() {
    use std::fmt::Write;
    let fixture = Fixture::new().await;
    let mut estate = format!(
        "{ESTATE}---\napiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {{ name: web }}\nspec: {{ protocol: http, port: 80 }}\n"
    );
    for number in 0..200 {
        let operations: Vec<String> = (0..40)
            .map(|n| format!("\"GET /{number}/{n}/*\""))
            .collect();
        write!(
            estate,
            "---\napiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {{ name: a{number} }}\nspec: {{}}\n---\n\
             apiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: a{number} }}\nspec:\n  agent: a{number}\n  \
             initiate: [{{ service: web, operations: [{}] }}]\n",
            operations.join(", ")
        )
        .unwrap();
    }
    let content = serde_json::to_vec(&assignment(&estate, BTreeMap::new())).unwrap();
    let generation = Generation(6);
    let memory = memfd::sealed("assignment", &content).unwrap();
    fixture.say(&FromNode::Load { generation }, &[memory]).await;
    let list = memfd::sealed("list", b"[{\"name\":\"agent\",\"why\":\"now\"}]").unwrap();
    let event = None;
    fixture
        .say(&FromNode::Quarantine { id: 1, event }, &[list])
        .await;
    let first = fixture.hear().await;
    assert!(
        matches!(first, ToNode::Quarantined { id: 1, .. }),
        "{first:?}"
    );
    assert_eq!(fixture.hear().await, ToNode::Loaded { generation });
    let force = fixture.world.node.current.load();
    assert!(
        force
            .quarantined
            .why(&Name::new("agent").unwrap())
            .is_some()
    );
}
