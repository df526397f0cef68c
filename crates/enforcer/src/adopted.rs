//! The life of a compartment here: from the launcher's first socket until its link closes.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringfence_compartment::channel::Packet;
use ringfence_compartment::figures::Said;
use ringfence_compartment::link::{FromEnforcer, ToEnforcer};
use ringfence_model::{InstanceId, Protocol, WorkloadId};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::attempts;
use crate::compartment::Compartment;
use crate::door::{tcp, udp};
use crate::handover::{Doors, Handover, Improper};
use crate::inbound::Kind;
use crate::limits::{ARM_TIMEOUT, FOLD_WINDOW, LINK_SEND_TIMEOUT};
use crate::link::Link;
use crate::node::Node;
use crate::record::event;
use crate::registry::Unwelcome;

/// Why a compartment ends for another reason than that its launcher has gone.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("what it handed over is not accepted: {0}")]
    Improper(#[from] Improper),
    #[error("it is not accepted: {0}")]
    Unwelcome(#[from] Unwelcome),
    #[error("it did not ask to be armed within {ARM_TIMEOUT:?}")]
    NeverArmed,
    #[error("it asked to be armed twice")]
    ArmedTwice,
    #[error("descriptors came with a message that has none")]
    Stowaways,
    #[error("it takes no messages")]
    Deaf,
    #[error("its link broke: {0}")]
    Link(#[from] io::Error),
    #[error("a door of it broke: {0}")]
    Door(io::Error),
}

/// Serves the compartment whose launcher, a process of `uid`, is at the other end of `link`. Returns when nothing of it
/// is left.
pub(crate) async fn live(
    node: Arc<Node>,
    instance: InstanceId,
    workload: WorkloadId,
    uid: u32,
    link: OwnedFd,
) {
    let shared = uid != 0 && uid != rustix::process::geteuid().as_raw();
    let home = Compartment::new(&node, instance, workload, shared);
    let outcome = match Link::new(link) {
        Err(cause) => Err(Broken::Link(cause)),
        Ok(link) => {
            let outcome = Life::new(&node, &home, &link).run().await;
            if let Err(Broken::Improper(_) | Broken::Unwelcome(_)) = &outcome {
                let reason = outcome
                    .as_ref()
                    .err()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                // Its link closes next in any case, which says no as well.
                let _said = timeout(
                    LINK_SEND_TIMEOUT,
                    link.send(&FromEnforcer::Rejected { reason }),
                )
                .await;
            }
            outcome
        }
    };
    home.leave(if outcome.is_ok() {
        "its launcher has gone"
    } else {
        "it was put out"
    });
    node.registry.strike(&home);
    home.finish();
    if let Err(broken) = outcome {
        let force = node.current.load();
        let (subject, reason) = (
            home.workload.name.as_str(),
            format!("{}: {broken}", home.instance),
        );
        let generation = force.snapshot.generation();
        let flow = event(
            &force.node,
            Some(subject),
            "compartment put out",
            &reason,
            false,
            generation,
        );
        let _counted_by_the_log = node.recorder.after(&flow);
    }
}

/// What happened next to an armed compartment.
enum Next {
    Packet(Option<Packet<ToEnforcer>>),
    Refill,
    Tick,
}

struct Life<'l> {
    node: &'l Arc<Node>,
    home: &'l Arc<Compartment>,
    link: &'l Link,
    handover: Handover,
    /// Aborted, and the doors closed with them, when this is dropped.
    doors: JoinSet<io::Error>,
    messages: u64,
}

impl<'l> Life<'l> {
    fn new(node: &'l Arc<Node>, home: &'l Arc<Compartment>, link: &'l Link) -> Self {
        let handover = Handover::new(node.host, home.shared);
        Self {
            node,
            home,
            link,
            handover,
            doors: JoinSet::new(),
            messages: 0,
        }
    }

    async fn run(mut self) -> Result<(), Broken> {
        let armed = timeout(ARM_TIMEOUT, async {
            while self.doors.is_empty() {
                match self.link.recv().await? {
                    Some(packet) => self.hear(packet).await?,
                    None => return Ok(false),
                }
            }
            Ok::<_, Broken>(true)
        })
        .await;
        if !armed.map_err(|_| Broken::NeverArmed)?? {
            return Ok(());
        }
        let mut tick = interval(FOLD_WINDOW);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut news = self.node.current.subscribe();
        let home = Arc::clone(self.home);
        self.refill().await?;
        loop {
            // Only waiting happens inside: a branch that loses is dropped, and must not have begun anything.
            let next = tokio::select! {
                packet = self.link.recv() => Next::Packet(packet?),
                () = home.gone() => return Ok(()),
                () = home.inbound.low() => Next::Refill,
                // The sender is part of the node, which outlives this.
                _ = news.changed() => Next::Refill,
                _ = tick.tick() => Next::Tick,
                Some(ended) = self.doors.join_next() => {
                    return Err(Broken::Door(ended.unwrap_or_else(io::Error::other)));
                }
            };
            match next {
                Next::Packet(Some(packet)) => self.hear(packet).await?,
                Next::Packet(None) => return Ok(()),
                Next::Refill => self.refill().await?,
                Next::Tick => home.tick(),
            }
        }
    }

    async fn hear(&mut self, packet: Packet<ToEnforcer>) -> Result<(), Broken> {
        let Packet {
            message,
            descriptors,
        } = packet;
        match message {
            ToEnforcer::Sockets { sockets } => {
                self.handover
                    .take(&sockets, descriptors, &self.home.inbound)?;
            }
            _ if !descriptors.is_empty() => return Err(Broken::Stowaways),
            ToEnforcer::Arm { .. } if !self.doors.is_empty() => return Err(Broken::ArmedTwice),
            ToEnforcer::Arm {
                walls,
                unbounded,
                version,
            } => {
                self.home.note_said(Said {
                    version,
                    walls,
                    unbounded,
                });
                self.arm().await?;
            }
            ToEnforcer::Attempts { attempts } => {
                attempts::record(self.node, self.home, &attempts);
                self.messages += 1;
                self.say(&FromEnforcer::Recorded {
                    messages: self.messages,
                })
                .await?;
            }
        }
        Ok(())
    }

    async fn arm(&mut self) -> Result<(), Broken> {
        let Doors {
            tcp,
            udp,
            namespace,
        } = self.handover.arm()?;
        self.node.registry.enter(self.home, namespace)?;
        for door in tcp {
            self.doors.spawn(tcp::watch(
                Arc::clone(self.node),
                Arc::clone(self.home),
                door,
            ));
        }
        for door in udp {
            self.doors.spawn(udp::watch(
                Arc::clone(self.node),
                Arc::clone(self.home),
                door,
            ));
        }
        self.say(&FromEnforcer::Armed).await
    }

    /// Orders inbound sockets, if anyone may come in at all.
    async fn refill(&mut self) -> Result<(), Broken> {
        let served = self
            .node
            .current
            .load()
            .served_inside(&self.home.workload.name);
        let Some((protocol, _)) = served else {
            return Ok(());
        };
        let inbound = &self.home.inbound;
        let need = match protocol {
            Protocol::Udp => {
                let [udp4, udp6] = inbound.order([Kind::Udp4, Kind::Udp6]);
                [0, 0, udp4, udp6]
            }
            Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Tls | Protocol::Tcp => {
                let [inbound4, inbound6] = inbound.order([Kind::Tcp4, Kind::Tcp6]);
                [inbound4, inbound6, 0, 0]
            }
        };
        if need == [0; 4] {
            return Ok(());
        }
        let [inbound4, inbound6, udp4, udp6] = need;
        self.say(&FromEnforcer::Need {
            inbound4,
            inbound6,
            udp4,
            udp6,
        })
        .await
    }

    async fn say(&self, message: &FromEnforcer) -> Result<(), Broken> {
        match timeout(LINK_SEND_TIMEOUT, self.link.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Broken::Deaf),
        }
    }
}

#[cfg(test)]
mod tests;
