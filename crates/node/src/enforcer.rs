//! One incarnation of the enforcer: started, spoken with, and its end reported. It is killed when it stops reading.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use ringfence_compartment::channel;
use ringfence_compartment::link::{Event, FromNode, Quarantine, ToNode};
use ringfence_compartment::memfd;
use ringfence_compartment::spawn::{EnforcerProcess, spawn_enforcer};
use ringfence_model::{Generation, InstanceId, WorkloadId};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::generation::Serving;
use crate::limits::{ENFORCER_BACKLOG, LAST_BREATH};
use crate::packets::{Channel, Process};
use crate::supervisor::{Input, Inputs};

/// Where the program of enforcers and porters is: in the very file that this process runs, also when another one has its name by now.
/// Node and enforcer are always of one build.
pub(crate) const EXE: &str = "/proc/self/exe";

/// Counts incarnations, so that a late word of a dead one is not taken for the living one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(pub(crate) u64);

/// What an incarnation has to tell.
#[derive(Debug)]
pub(crate) enum EnforcerNews {
    /// It said so.
    Said(ToNode),
    /// It has ended, in words.
    Ended(String),
}

/// A message on its way to the enforcer.
enum Outgoing {
    Plain(FromNode),
    With(FromNode, OwnedFd),
    Load(Arc<Serving>),
    Quarantine(FromNode, Vec<Quarantine>),
}

/// A living enforcer.
pub(crate) struct Enforcer {
    pub(crate) epoch: Epoch,
    pub(crate) pid: u32,
    outbox: mpsc::Sender<Outgoing>,
    kill: mpsc::Sender<&'static str>,
}

impl Enforcer {
    /// Starts `exe ARGS…` and reports what comes of it to `inputs`.
    pub(crate) fn start(
        exe: &Path,
        args: &[OsString],
        epoch: Epoch,
        inputs: Inputs,
    ) -> io::Result<Self> {
        let (ours, theirs) = channel::pair()?;
        let channel = Channel::new(ours)?;
        let child = spawn_enforcer(exe, args, theirs)?;
        let pid = child.pid();
        let (outbox, queue) = mpsc::channel(ENFORCER_BACKLOG);
        let (kill, killed) = mpsc::channel(1);
        tokio::spawn(live(child, channel, queue, killed, epoch, inputs));
        Ok(Self {
            epoch,
            pid,
            outbox,
            kill,
        })
    }

    pub(crate) fn say(&self, message: FromNode) {
        self.put(Outgoing::Plain(message));
    }

    pub(crate) fn load(&self, serving: Arc<Serving>) {
        self.put(Outgoing::Load(serving));
    }

    /// Gives it all who are quarantined from now on; answered under `id`.
    pub(crate) fn quarantine(&self, id: u64, event: Option<Event>, list: Vec<Quarantine>) {
        self.put(Outgoing::Quarantine(
            FromNode::Quarantine { id, event },
            list,
        ));
    }

    pub(crate) fn adopt(
        &self,
        instance: InstanceId,
        workload: WorkloadId,
        uid: u32,
        pid: u32,
        link: OwnedFd,
    ) {
        self.put(Outgoing::With(
            FromNode::Adopt {
                instance,
                workload,
                uid,
                pid,
            },
            link,
        ));
    }

    /// Ends it at once, for a reason that its report gives. Its end is reported like any other.
    pub(crate) fn kill(&self, why: &'static str) {
        // Full: it is being killed already. Closed: it is dead.
        let _ = self.kill.try_send(why);
    }

    /// An enforcer that lets its messages pile up does not enforce what it was told: it is killed.
    fn put(&self, message: Outgoing) {
        if self.outbox.try_send(message).is_err() {
            self.kill("it does not read what it is told");
        }
    }
}

async fn live(
    child: EnforcerProcess,
    channel: Channel,
    mut queue: mpsc::Receiver<Outgoing>,
    mut killed: mpsc::Receiver<&'static str>,
    epoch: Epoch,
    inputs: Inputs,
) {
    let report = async |news| inputs.send(Input::Enforcer(epoch, news)).await;
    let watched = child.pidfd().try_clone_to_owned().and_then(Process::new);
    let fault = {
        let listen = async {
            loop {
                match channel.recv::<ToNode>().await {
                    Ok(Some(packet)) => report(EnforcerNews::Said(packet.message)).await,
                    Ok(None) => return "it closed its channel".to_owned(),
                    Err(error) => return format!("its channel is broken: {error}"),
                }
            }
        };
        let talk = async {
            while let Some(message) = queue.recv().await {
                if let Err(error) = deliver(&channel, message).await {
                    return format!("its channel is broken: {error}");
                }
            }
            "nobody speaks to it any more".to_owned()
        };
        let ended = async {
            match &watched {
                Ok(process) => match process.ended().await {
                    Ok(()) => None,
                    Err(error) => Some(format!("it cannot be watched: {error}")),
                },
                Err(error) => Some(format!("it cannot be watched: {error}")),
            }
        };
        tokio::select! {
            biased;
            fault = ended => fault,
            why = killed.recv() => Some(format!("killed by the node: {}", why.unwrap_or("nobody needs it"))),
            fault = talk => Some(fault),
            fault = listen => Some(fault),
        }
    };
    // Its channel closes a moment before it has ended; how it ended says more.
    let fault = match (&watched, fault) {
        (Ok(process), Some(_)) if timeout(LAST_BREATH, process.ended()).await.is_ok() => None,
        (_, fault) => fault,
    };
    if fault.is_some()
        && let Err(error) = child.kill()
    {
        let pid = child.pid();
        crate::say::warn(&format!(
            "the enforcer (process {pid}) cannot be killed: {error}"
        ));
    }
    let end = match tokio::task::spawn_blocking(move || child.wait()).await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    // What it said before is still in the channel, and no more can come.
    while let Ok(Some(packet)) = channel::try_recv_bare::<ToNode>(&channel) {
        report(EnforcerNews::Said(packet.message)).await;
    }
    report(EnforcerNews::Ended(match fault {
        Some(fault) => format!("{fault} ({end})"),
        None => end,
    }))
    .await;
}

async fn deliver(channel: &Channel, message: Outgoing) -> io::Result<()> {
    match message {
        Outgoing::Plain(message) => channel.send(&message, &[]).await,
        Outgoing::With(message, descriptor) => channel.send(&message, &[descriptor.as_fd()]).await,
        Outgoing::Quarantine(message, list) => {
            let file = memfd::sealed("ringfence-quarantine", &serde_json::to_vec(&list)?)?;
            channel.send(&message, &[file.as_fd()]).await
        }
        Outgoing::Load(serving) => {
            let Generation(number) = serving.generation;
            let file = memfd::sealed(
                &format!("ringfence-generation-{number}"),
                &serving.assignment,
            )?;
            channel
                .send(
                    &FromNode::Load {
                        generation: serving.generation,
                    },
                    &[file.as_fd()],
                )
                .await
        }
    }
}
