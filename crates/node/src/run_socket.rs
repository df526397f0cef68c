//! `run.sock`: where launchers ask to be a workload. Who they are comes from the kernel, never from them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringfence_compartment::channel::Bare;
use ringfence_compartment::link::{FromLauncher, Grant, Rehearsal, ToLauncher};
use ringfence_compartment::sockets;
use ringfence_model::InstanceId;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::cgroup::Prefix;
use crate::claim::{Claimant, Owner, Program, Refusal, check_version};
use crate::enclosing::Enclosing;
use crate::ids::IdMap;
use crate::instances::ProcessId;
use crate::limits::{
    CLAIM_WITHIN, CLAIMED_MAX, COMMAND_MAX, CONNECTIONS_KEPT, CONNECTIONS_MAX, INSTANCES_MAX,
    LAST_BREATH, LAUNCHER_BACKLOG, UNCLAIMED_PER_USER,
};
use crate::packets::{Channel, Listener, Process};
use crate::supervisor::{Input, Inputs};
use crate::vouch::LauncherGroup;

/// One connection of a launcher. Numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// A claim whose claimant is established.
pub(crate) struct Claim {
    pub(crate) connection: ConnectionId,
    pub(crate) claimant: Claimant,
    pub(crate) process: ProcessId,
    /// An open file, the program that it is going to start.
    pub(crate) shown: Option<OwnedFd>,
    /// What is known of that.
    pub(crate) program: Program,
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) resume: Option<InstanceId>,
    /// It is only asked what would become of it: nothing may be granted.
    pub(crate) rehearsal: bool,
    /// Ends of channels to enforcers, to be passed on. Dropping it closes the connection.
    pub(crate) links: mpsc::Sender<OwnedFd>,
    pub(crate) answer: oneshot::Sender<Result<Answer, Refusal>>,
}

/// What is not refused.
pub(crate) enum Answer {
    /// It is.
    Granted(Grant),
    /// It would be granted.
    Rehearsed(Rehearsal),
}

/// A process whose claim came to nothing before anyone could decide it.
pub(crate) struct Stranger {
    pub(crate) uid: u32,
    pub(crate) pid: i32,
    pub(crate) refusal: Refusal,
}

/// A launcher's connection has ended.
pub(crate) struct Departure {
    pub(crate) connection: ConnectionId,
    pub(crate) instance: InstanceId,
}

/// Accepts launchers until the node ends.
pub(crate) async fn serve(
    listener: Listener,
    ids: IdMap,
    group: LauncherGroup,
    owner: Owner,
    groups: Prefix,
    inputs: Inputs,
) {
    let (ids, groups) = (Arc::new(ids), Arc::new(groups));
    let door = Arc::new(Door::default());
    for number in 0.. {
        match listener.accept().await {
            Ok(socket) => {
                let Ok(peer) = sockets::peer(&socket) else {
                    continue;
                };
                let Some(place) = Door::enter(&door, owner, peer.uid) else {
                    continue;
                };
                let launcher = Launcher {
                    id: ConnectionId(number),
                    ids: Arc::clone(&ids),
                    group,
                    owner,
                    groups: Arc::clone(&groups),
                    inputs: inputs.clone(),
                };
                tokio::spawn(launcher.serve(socket, peer, place));
            }
            Err(error) => {
                // No descriptors left, most likely. Others need time to give some back.
                crate::say::warn(&format!("run.sock cannot take a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

// Root and the owner, each with claims under way, and all that may run.
const _: () = assert!(CONNECTIONS_KEPT >= 2 * UNCLAIMED_PER_USER + INSTANCES_MAX);

/// Counts connections, so that no user can use them all up.
#[derive(Default)]
struct Door(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    unclaimed: BTreeMap<u32, usize>,
}

/// A connection's place in the counts, given back when dropped.
struct Place {
    door: Arc<Door>,
    uid: u32,
    claimed: bool,
}

impl Door {
    fn enter(door: &Arc<Self>, owner: Owner, uid: u32) -> Option<Place> {
        // One user of the host can be thousands: subordinate ids cost nothing.
        let most = match owner.trusts(uid) {
            true => CONNECTIONS_MAX,
            false => CONNECTIONS_MAX - CONNECTIONS_KEPT,
        };
        let mut counts = door.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unclaimed = counts.unclaimed.get(&uid).copied().unwrap_or(0);
        if counts.all >= most || unclaimed >= UNCLAIMED_PER_USER {
            return None;
        }
        counts.all += 1;
        counts.unclaimed.insert(uid, unclaimed + 1);
        Some(Place {
            door: Arc::clone(door),
            uid,
            claimed: false,
        })
    }
}

impl Place {
    fn claimed(&mut self) {
        if !std::mem::replace(&mut self.claimed, true) {
            let mut counts = self.door.0.lock().unwrap_or_else(PoisonError::into_inner);
            leave(&mut counts, self.uid);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.door.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if !self.claimed {
            leave(&mut counts, self.uid);
        }
    }
}

fn leave(counts: &mut Counts, uid: u32) {
    if let Some(count) = counts.unclaimed.get_mut(&uid) {
        *count -= 1;
        if *count == 0 {
            counts.unclaimed.remove(&uid);
        }
    }
}

struct Launcher {
    id: ConnectionId,
    ids: Arc<IdMap>,
    group: LauncherGroup,
    owner: Owner,
    groups: Arc<Prefix>,
    inputs: Inputs,
}

/// A claim, and the process that makes it.
struct Asked {
    claimant: Claimant,
    process: ProcessId,
    watched: Process,
    claim: FromLauncher,
    shown: Shown,
}

/// What came beside a claim.
enum Shown {
    Nothing,
    /// A file, and it was not taken: nothing would rest on what such a launcher shows.
    NotTaken,
    File(OwnedFd),
    TooMany,
}

/// A claim, or why it is none.
struct Heard {
    said: Result<Value, Refusal>,
    shown: Shown,
}

/// How a launcher that asked for nothing but an answer is told that it would be refused. One whose node says
/// [`ToLauncher::Refused`] instead knows that it was not understood.
fn refused(rehearsal: bool, refusal: Refusal) -> ToLauncher {
    let Refusal { reason, hint, .. } = refusal;
    if rehearsal {
        ToLauncher::WouldRefuse { reason, hint }
    } else {
        ToLauncher::Refused { reason, hint }
    }
}

impl Launcher {
    async fn serve(self, socket: OwnedFd, peer: sockets::Peer, mut place: Place) {
        // A launcher that goes away in the middle of this is its own business: nothing was granted yet.
        let Ok(channel) = Channel::new(socket) else {
            return;
        };
        let held = sockets::peer_process(channel.as_fd());
        let vouched = self.vouches(peer, &held);
        // A descriptor is taken only from a process that will not send one whose closing never ends.
        let takes = vouched || self.owner.trusts(peer.uid);
        let Some(heard) = hear(&channel, takes).await else {
            return;
        };
        let Heard { said, shown } = heard;
        let rehearsal = matches!(&said, Ok(said) if said["say"] == "rehearse");
        let claimed = match said {
            Ok(said) => self.claim(peer, held, said, shown),
            Err(refusal) => Err(refusal),
        };
        let (links, mut handed) = mpsc::channel(LAUNCHER_BACKLOG);
        let granted = match claimed {
            Ok(None) => return,
            Ok(Some(asked)) => self.ask(asked, links).await,
            Err(refusal) => {
                let told = Input::Stranger(Stranger {
                    uid: peer.uid,
                    pid: peer.pid,
                    refusal: refusal.clone(),
                });
                self.inputs.send(told).await;
                Err(refusal)
            }
        };
        let last_word = match granted {
            Ok((watched, Answer::Granted(grant))) => Ok((watched, grant)),
            Ok((_, Answer::Rehearsed(rehearsal))) => Err(ToLauncher::WouldGrant(rehearsal)),
            Err(refusal) => Err(refused(rehearsal, refusal)),
        };
        let (watched, grant) = match last_word {
            Ok(granted) => granted,
            Err(last_word) => {
                // Gone before it heard: nobody is left to tell.
                let _ = timeout(CLAIM_WITHIN, channel.send(&last_word, &[])).await;
                return;
            }
        };
        place.claimed();
        let instance = grant.instance.clone();
        let enclosing = grant.encloses.then(|| Enclosing {
            instance: instance.clone(),
            name: self.groups.name(&instance.0),
            launcher: (peer.pid.unsigned_abs(), peer.uid),
            bounds: grant.bounds,
            inputs: self.inputs.clone(),
        });
        let told = timeout(CLAIM_WITHIN, channel.send(&ToLauncher::Granted(grant), &[])).await;
        if matches!(told, Ok(Ok(()))) {
            stay(&channel, &watched, &mut handed, enclosing).await;
        }
        drop(handed);
        drop(channel);
        // A launcher that exits closes this connection a moment before it has ended. Later is looked after elsewhere.
        let _ = timeout(LAST_BREATH, watched.ended()).await;
        self.inputs
            .send(Input::Departed(Departure {
                connection: self.id,
                instance,
            }))
            .await;
    }

    /// Finds out who claims. `None`: the launcher left.
    fn claim(
        &self,
        peer: sockets::Peer,
        held: io::Result<sockets::PeerProcess>,
        said: Value,
        shown: Shown,
    ) -> Result<Option<Asked>, Refusal> {
        // Before the rest of it: what another version says need not be a claim to this one.
        if let Some(version) = said["version"].as_u64() {
            check_version(version)?;
        }
        let claim: FromLauncher = serde_json::from_value(said).map_err(|_| unread())?;
        if matches!(shown, Shown::TooMany) {
            return Err(Refusal::new(
                "the claim came with more than one file",
                "start `ringfence run` and `ringfence up` from the same binary",
            ));
        }
        if !self.ids.identifies(peer.uid) {
            return Err(Refusal::new(
                "this node runs in a user namespace that has no id for you",
                "start `ringfence run` inside the same container as `ringfence up`",
            ));
        }
        let unseen = || {
            Refusal::new(
                "the node cannot see the process that asks",
                "start `ringfence run` in the same pid namespace as `ringfence up`",
            )
        };
        let pid = visible(peer).ok_or_else(unseen)?;
        let vouched = self.vouches(peer, &held);
        let held = held.map_err(|_| unseen())?;
        let certain = held.certain;
        let watched = Process::new(held.descriptor).map_err(|_| unseen())?;
        let process = ProcessId::of(pid).ok_or_else(unseen)?;
        let claimant = Claimant {
            uid: peer.uid,
            unit: if certain {
                crate::unit::of(pid)
            } else {
                Err("the kernel does not tell processes apart for good (Linux 6.5 does)".to_owned())
            },
            vouched,
        };
        // The descriptor is of the process that connected. While that lives, its id is no other's, and everything that
        // was read by it above is of that process.
        if watched.has_ended() {
            return Ok(None);
        }
        Ok(Some(Asked {
            claimant,
            process,
            watched,
            claim,
            shown,
        }))
    }

    /// Whether the kernel vouches for the process behind a connection.
    fn vouches(&self, peer: sockets::Peer, held: &io::Result<sockets::PeerProcess>) -> bool {
        let certain = held.as_ref().is_ok_and(|held| held.certain);
        certain && visible(peer).is_some_and(|pid| self.group.vouches_for(peer, pid))
    }

    async fn ask(
        &self,
        asked: Asked,
        links: mpsc::Sender<OwnedFd>,
    ) -> Result<(Process, Answer), Refusal> {
        let Asked {
            claimant,
            process,
            watched,
            claim,
            shown,
        } = asked;
        let (name, mut command, resume, rehearsal) = match claim {
            FromLauncher::Claim {
                name,
                command,
                resume,
                ..
            } => (name, command, resume, false),
            FromLauncher::Rehearse { name, .. } => (name, String::new(), None, true),
            FromLauncher::Enclose { .. } => return Err(unread()),
        };
        // Longer ones are nobody's. They are recorded, and told to whoever asked.
        let mut name = name;
        let resume = resume.map(|InstanceId(id)| {
            let mut id = id.to_string();
            cut(&mut id);
            InstanceId(id.into())
        });
        cut(&mut name);
        if let Some((cut, _)) = command.char_indices().nth(COMMAND_MAX) {
            command.truncate(cut);
        }
        let (program, shown) = match shown {
            Shown::File(file) => (Program::Shown, Some(file)),
            Shown::NotTaken => (Program::Shown, None),
            Shown::Nothing | Shown::TooMany => (Program::NotShown, None),
        };
        let (answer, answered) = oneshot::channel();
        let claim = Claim {
            connection: self.id,
            claimant,
            process,
            program,
            shown,
            name,
            command,
            resume,
            rehearsal,
            links,
            answer,
        };
        self.inputs.send(Input::Claim(claim)).await;
        let answer = answered.await.unwrap_or_else(|_| {
            Err(Refusal::new(
                "the node is stopping",
                "start it again with `ringfence up`",
            ))
        })?;
        Ok((watched, answer))
    }
}

/// Leaves of a text what a claim may have.
fn cut(text: &mut String) {
    let end = (0..=CLAIMED_MAX.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
}

fn unread() -> Refusal {
    Refusal::new(
        "the claim could not be read",
        "start `ringfence run` and `ringfence up` from the same binary",
    )
}

/// Waits for the claim. `None`: the launcher said nothing, or left. `takes`: a file beside it is taken.
async fn hear(channel: &Channel, takes: bool) -> Option<Heard> {
    let packet = async {
        if takes {
            let packet = channel.recv_with_descriptors::<Value>().await?;
            Ok(packet.map(|mut packet| {
                let shown = match packet.descriptors.len() {
                    0 => Shown::Nothing,
                    1 => packet.descriptors.pop().map_or(Shown::Nothing, Shown::File),
                    _ => Shown::TooMany,
                };
                (packet.message, shown)
            }))
        } else {
            let bare = channel.recv::<Value>().await?;
            Ok(bare.map(|bare| match bare.beside {
                true => (bare.message, Shown::NotTaken),
                false => (bare.message, Shown::Nothing),
            }))
        }
    };
    match timeout(CLAIM_WITHIN, packet).await {
        Ok(Ok(Some((said, shown)))) => Some(Heard {
            said: Ok(said),
            shown,
        }),
        Ok(Ok(None)) | Err(_) => None,
        Ok(Err(error)) if io::Error::kind(&error) == io::ErrorKind::InvalidData => Some(Heard {
            said: Err(unread()),
            shown: Shown::Nothing,
        }),
        Ok(Err(_)) => None,
    }
}

/// Its process id, if it is in this pid namespace.
fn visible(peer: sockets::Peer) -> Option<u32> {
    u32::try_from(peer.pid).ok().filter(|pid| *pid != 0)
}

/// Passes links on until the launcher leaves, says something it may not, or is cut off. Its first process is bounded
/// meanwhile, if that was asked for.
async fn stay(
    channel: &Channel,
    watched: &Process,
    handed: &mut mpsc::Receiver<OwnedFd>,
    mut enclosing: Option<Enclosing>,
) {
    loop {
        tokio::select! {
            link = handed.recv() => {
                let Some(link) = link else { return };
                if channel.send(&ToLauncher::Link, &[link.as_fd()]).await.is_err() {
                    return;
                }
            }
            // A claim is made once, and its process shown once. Whatever else comes, the end included, ends it.
            said = channel.recv::<FromLauncher>() => {
                let (Ok(Some(Bare { message: FromLauncher::Enclose { process }, .. })), Some(enclosing)) =
                    (said, enclosing.take())
                else {
                    return;
                };
                let answer = ToLauncher::Enclosed(enclosing.enclose(process).await);
                let told = timeout(CLAIM_WITHIN, channel.send(&answer, &[])).await;
                if !matches!(told, Ok(Ok(()))) {
                    return;
                }
            }
            _ = watched.ended() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_all_places() {
        let door = Arc::new(Door::default());
        let enter = |uid| Door::enter(&door, Owner(0), uid);
        let mut places: Vec<_> = (0..UNCLAIMED_PER_USER)
            .map(|_| enter(1000).unwrap())
            .collect();
        assert!(enter(1000).is_none());
        assert!(enter(1001).is_some());
        places[0].claimed();
        places[0].claimed();
        let next = enter(1000).unwrap();
        assert!(enter(1000).is_none());
        drop(next);
        drop(places);
        let counts = door.0.lock().unwrap();
        assert_eq!((counts.all, counts.unclaimed.len()), (0, 0));
    }

    #[test]
    fn all_users_together_cannot_take_what_root_and_the_owner_need() {
        let door = Arc::new(Door::default());
        let enter = |uid| Door::enter(&door, Owner(1000), uid);
        let subordinate = |number: usize| 100_000 + (number / UNCLAIMED_PER_USER) as u32;
        let places: Vec<_> = (0..CONNECTIONS_MAX - CONNECTIONS_KEPT)
            .map(|number| enter(subordinate(number)).unwrap())
            .collect();
        assert!(enter(70_000).is_none());
        // All that can run, and as many claims as may be under way.
        let mut theirs = Vec::new();
        for number in 0..INSTANCES_MAX {
            let mut place = enter(if number % 2 == 0 { 0 } else { 1000 }).unwrap();
            place.claimed();
            theirs.push(place);
        }
        for uid in [0, 1000] {
            theirs.extend((0..UNCLAIMED_PER_USER).map(|_| enter(uid).unwrap()));
        }
        assert_eq!(door.0.lock().unwrap().all, CONNECTIONS_MAX);
        drop(places);
        assert!(enter(70_000).is_some());
    }

    #[test]
    fn a_claim_has_as_much_text_as_it_may_and_is_cut_at_a_character() {
        for (text, left) in [
            ("a".repeat(256), 256),
            ("a".repeat(257), 256),
            ("a".to_owned() + &"é".repeat(128), 255),
        ] {
            let mut text = text;
            cut(&mut text);
            assert_eq!(text.len(), left);
        }
    }
}
