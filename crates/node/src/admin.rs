//! `admin.sock`: what operators ask of a running node. One request, one answer, and the connection closes.

mod places;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_compartment::{channel, memfd, sockets};
use ringfence_history::Pruned;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::places::{Place, Places};
use crate::containment::{Outcome, Unmet, What, Wish};
use crate::drill::Pair;
use crate::limits::{ADMIN_WITHIN, DRILL_BEGINS_WITHIN, DRILL_WITHIN, PRUNE_WITHIN};
use crate::packets::{Channel, Listener};
use crate::quarantine::Asker;
use crate::redaction::{RedactWish, Redacted};
use crate::sealing::PruneWish;
use crate::status::Status;
use crate::supervisor::{Input, Inputs};

/// Longest conversation with an operator: the request, and the answer that takes longest.
const CONVERSATION: Duration = ADMIN_WITHIN.saturating_add(PRUNE_WITHIN);
/// How the refusal of a request begins that the node does not know. Later versions go by it.
const NOT_ONE: &str = "the request is not one";
/// Between two tries of an operator whom the node had no place for.
const PAUSE: Duration = Duration::from_millis(20);
/// Characters of a version that are shown and recorded.
const VERSION_MAX: usize = 40;

/// Operator to node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Request {
    /// How it stands.
    Status,
    /// A workload is to be quarantined, or released.
    Contain(Wish),
    /// The oldest records are to be pruned.
    Prune(PruneWish),
    /// Keys of values in the log are to be deleted.
    Redact(RedactWish),
    /// The workloads of a drill, for as long as this conversation lasts.
    Drill,
    /// Stop: the process `pid`, of version `version`, serves this state from now on. For records; who asks is known.
    HandOver {
        /// Process that takes over.
        pid: u32,
        /// Its version.
        version: String,
    },
}

impl Request {
    /// In a word that is ours, whatever is in it.
    fn wanted(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Contain(Wish { dry_run: true, .. }) => "a dry run",
            Self::Contain(wish) => match wish.what {
                What::Quarantine { .. } => "quarantine",
                What::Release => "release",
            },
            Self::Prune(PruneWish { dry_run: true, .. }) => "a dry run of pruning",
            Self::Prune(_) => "pruning",
            Self::Redact(RedactWish { dry_run: true, .. }) => "a dry run of redaction",
            Self::Redact(_) => "redaction",
            Self::Drill => "a drill",
            Self::HandOver { .. } => "a takeover",
        }
    }
}

/// Node to operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
enum Answer {
    /// To `Status`, one descriptor beside: a sealed memory file with the answer as one line of JSON.
    Done,
    /// No, and why.
    Refused {
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fix: Option<String>,
    },
}

/// Why the node says no.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) fix: Option<String>,
}

impl Refused {
    /// With what to do about it.
    pub(crate) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            fix: Some(fix.into()),
        }
    }

    fn plain(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            fix: None,
        }
    }
}

impl From<Refused> for Answer {
    fn from(Refused { reason, fix }: Refused) -> Self {
        Self::Refused { reason, fix }
    }
}

/// Accepts operators until the node ends.
pub(crate) async fn serve(listener: Listener, owner: u32, inputs: Inputs) {
    let places = Arc::new(Places::default());
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let Some((place, displaced)) = Places::enter(&places) else {
                    continue;
                };
                let inputs = inputs.clone();
                tokio::spawn(async move {
                    let conversation = async move {
                        let mut place = place;
                        let conversed = converse(socket, owner, &inputs, &mut place);
                        let conversed = timeout(CONVERSATION, conversed).await;
                        if let Ok(Ok(Some(channel))) = conversed {
                            drill(channel, &inputs).await;
                        }
                    };
                    tokio::select! {
                        biased;
                        // An operator who hangs up is nobody's loss.
                        () = conversation => {}
                        Ok(()) = displaced => {}
                    }
                });
                // One at a turn: whoever came with its question is heard before others can displace it.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                crate::say::warn(&format!("admin.sock cannot take a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Gives the channel of a conversation that goes on.
async fn converse(
    socket: OwnedFd,
    owner: u32,
    inputs: &Inputs,
    place: &mut Place,
) -> io::Result<Option<Channel>> {
    let peer = sockets::peer(&socket)?;
    let channel = Channel::new(socket)?;
    let Ok(asked) = timeout(2 * ADMIN_WITHIN, channel.recv::<Request>()).await else {
        return Ok(None);
    };
    place.asked();
    // Not before: closing a socket with something unread takes back what was said on it.
    if peer.uid != owner && peer.uid != 0 {
        let by = Asker::of(peer.uid, peer.pid);
        let wanted = match &asked {
            Ok(Some(packet)) => packet.message.wanted(),
            Ok(None) => "nothing",
            Err(_) => "something that is no request",
        };
        inputs.send(Input::Uninvited { by, wanted }).await;
        let reason = "only root and the owner of the node may ask";
        refuse(&channel, Refused::plain(reason)).await?;
        return Ok(None);
    }
    let request = match asked {
        Ok(Some(packet)) => packet.message,
        Ok(None) => return Ok(None),
        Err(error) => {
            refuse(&channel, Refused::plain(format!("{NOT_ONE}: {error}"))).await?;
            return Ok(None);
        }
    };
    match request {
        Request::Status => {
            let (answer, answered) = oneshot::channel();
            inputs.send(Input::Status(answer)).await;
            say(&channel, answered.await.map_err(|_| stopping())).await?;
        }
        Request::Contain(wish) => {
            let (answer, answered) = oneshot::channel();
            let by = Asker::of(peer.uid, peer.pid);
            inputs.send(Input::Contain(wish, by, answer)).await;
            let answered = answered.await.unwrap_or_else(|_| Err(stopping()));
            say(&channel, answered).await?;
        }
        Request::Prune(wish) => {
            let (answer, answered) = oneshot::channel();
            let by = Asker::of(peer.uid, peer.pid);
            inputs.send(Input::Prune(wish, by, answer)).await;
            let answered = answered.await.unwrap_or_else(|_| Err(stopping()));
            say(&channel, answered).await?;
        }
        Request::Redact(wish) => {
            let (answer, answered) = oneshot::channel();
            let by = Asker::of(peer.uid, peer.pid);
            inputs.send(Input::Redact(wish, by, answer)).await;
            let answered = answered.await.unwrap_or_else(|_| Err(stopping()));
            say(&channel, answered).await?;
        }
        Request::Drill => return Ok(Some(channel)),
        Request::HandOver { pid, version } => {
            // Said to somebody who is still there: a node that was stopped when it was asked does not end later for nobody.
            channel.send(&Answer::Done, &[]).await?;
            let version: String = version.chars().take(VERSION_MAX).collect();
            let why = format!("to hand over to process {pid} (version {version})");
            inputs.send(Input::Stop(why)).await;
        }
    }
    Ok(None)
}

/// Holds a drill's workloads in policy until the operator hangs up.
async fn drill(channel: Channel, inputs: &Inputs) {
    let (answer, answered) = oneshot::channel();
    inputs.send(Input::Drill(answer)).await;
    let answered = match timeout(DRILL_BEGINS_WITHIN, answered).await {
        Ok(answered) => answered.unwrap_or_else(|_| Err(stopping())),
        Err(_) => {
            // It is still wanted.
            inputs.send(Input::DrillOver).await;
            Err(Refused::new(
                "the drill's workloads did not come into force in time",
                "`ringfence status` says what the configuration waits for",
            ))
        }
    };
    let goes_on = answered.is_ok();
    let said = say(&channel, answered).await;
    if !goes_on {
        // One that was refused because another is under way must not end that.
        return;
    }
    if said.is_ok() {
        // Whatever comes, or nothing for too long, ends it.
        let _ended = timeout(DRILL_WITHIN, channel.recv::<Request>()).await;
    }
    inputs.send(Input::DrillOver).await;
}

async fn refuse(channel: &Channel, refused: Refused) -> io::Result<()> {
    channel.send(&Answer::from(refused), &[]).await
}

fn stopping() -> Refused {
    Refused::plain("the node is stopping")
}

/// Gives an answer of any length, or says no.
async fn say(channel: &Channel, answer: Result<impl Serialize, Refused>) -> io::Result<()> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(refused) => return refuse(channel, refused).await,
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let file = memfd::sealed("ringfence-answer", &line)?;
    channel.send(&Answer::Done, &[file.as_fd()]).await
}

/// Asks for what becomes of a workload.
pub(crate) fn ask_containment(state: &Path, request: &Request) -> Result<Outcome, Unmet> {
    met(state, request).map(|(_, outcome)| outcome)
}

/// Asks the node that serves `state` to prune its log.
pub fn ask_pruning(state: &Path, wish: PruneWish) -> Result<Pruned, Unmet> {
    met(state, &Request::Prune(wish)).map(|(_, pruned)| pruned)
}

/// Asks the node that serves `state` to redact values of its log.
pub fn ask_redaction(state: &Path, wish: RedactWish) -> Result<Redacted, Unmet> {
    met(state, &Request::Redact(wish)).map(|(_, redacted)| redacted)
}

/// What the node answers that serves `state`, and the conversation, which may go on.
fn met<T: DeserializeOwned>(state: &Path, request: &Request) -> Result<(OwnedFd, T), Unmet> {
    let (node, packet) = ask(state, request)?.ok_or(Unmet::Absent)?;
    match packet.message {
        Answer::Refused { reason, fix } => Err(Unmet::Refused { reason, fix }),
        Answer::Done => Ok((node, answer_of(packet.descriptors)?)),
    }
}

fn answer_of<T: DeserializeOwned>(descriptors: Vec<OwnedFd>) -> io::Result<T> {
    let file = descriptors
        .into_iter()
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is missing"))?;
    Ok(serde_json::from_slice(&memfd::read(file)?)?)
}

/// A drill that is under way, as long as this lives.
#[derive(Debug)]
pub struct Drill {
    /// Who takes part.
    pub pair: Pair,
    _conversation: OwnedFd,
}

/// Asks the node that serves `state` for the workloads of a drill.
pub fn begin_drill(state: &Path) -> Result<Drill, Unmet> {
    let (conversation, pair) = met(state, &Request::Drill)?;
    Ok(Drill {
        pair,
        _conversation: conversation,
    })
}

/// Asks the node that serves the state directory `state` how it stands. `None`: no node is running there.
pub fn ask_status(state: &Path) -> io::Result<Option<Status>> {
    let Some((_, packet)) = ask(state, &Request::Status)? else {
        return Ok(None);
    };
    match packet.message {
        Answer::Refused { reason, .. } => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
        }
        Answer::Done => answer_of(packet.descriptors).map(Some),
    }
}

/// What became of the wish to take over.
pub(crate) enum HandOver {
    /// This process ends.
    Agreed(i32),
    /// This process does not know the wish, being older, and was sent SIGTERM, which it does know.
    Signalled(i32),
    /// No node is running there.
    Absent,
}

/// Asks the node that serves `state` to end, for this process to take over.
pub(crate) fn hand_over(state: &Path) -> io::Result<HandOver> {
    let wish = Request::HandOver {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let Some((node, packet)) = ask(state, &wish)? else {
        return Ok(HandOver::Absent);
    };
    let pid = sockets::peer(&node)?.pid;
    match packet.message {
        Answer::Done => Ok(HandOver::Agreed(pid)),
        Answer::Refused { reason, .. } if reason.starts_with(NOT_ONE) => {
            let process = sockets::peer_process(&node)?.descriptor;
            rustix::process::pidfd_send_signal(&process, rustix::process::Signal::TERM)?;
            Ok(HandOver::Signalled(pid))
        }
        Answer::Refused { reason, .. } => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
        }
    }
}

/// `None`: no node is running there.
fn reach(state: &Path) -> io::Result<Option<OwnedFd>> {
    let directory = sockets::socket_dir(state)?;
    match sockets::connect(&directory, sockets::ADMIN_SOCKET) {
        Ok(socket) => Ok(Some(socket)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Asks the node that serves `state`, and gives the connection with its answer. `None`: no node is running there.
///
/// One that hangs up before it answers had no place for us: where others take them all, we come again.
fn ask(state: &Path, request: &Request) -> io::Result<Option<(OwnedFd, channel::Packet<Answer>)>> {
    let end = Instant::now() + 2 * ADMIN_WITHIN;
    loop {
        let Some(node) = reach(state)? else {
            return Ok(None);
        };
        match ask_once(&node, request) {
            Ok(packet) => return Ok(Some((node, packet))),
            Err(error) if is_hang_up(&error) && Instant::now() < end => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | BrokenPipe | ConnectionReset)
}

fn ask_once(node: &OwnedFd, request: &Request) -> io::Result<channel::Packet<Answer>> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    let patience = Some(match request {
        Request::Contain(_) | Request::Prune(_) | Request::Redact(_) => CONVERSATION,
        Request::Drill => DRILL_BEGINS_WITHIN + ADMIN_WITHIN,
        Request::Status | Request::HandOver { .. } => 3 * ADMIN_WITHIN,
    });
    set_socket_timeout(node, Timeout::Recv, patience)?;
    set_socket_timeout(node, Timeout::Send, patience)?;
    channel::send(node, request, &[])?;
    let packet = channel::recv::<Answer>(node).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, "the node does not answer")
        }
        _ => error,
    })?;
    packet.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the node hung up"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ringfence_compartment::sockets::ADMIN_SOCKET;
    use rustix::fs::Mode;
    use tokio::sync::mpsc;

    use super::*;
    use crate::limits::ADMIN_CONNECTIONS;

    /// A state directory, whose sockets may be elsewhere.
    struct State(tempfile::TempDir);

    impl State {
        fn path(&self) -> &Path {
            self.0.path()
        }
    }

    impl Drop for State {
        fn drop(&mut self) {
            let directory = sockets::socket_dir(self.path()).unwrap();
            fs::remove_dir_all(directory).unwrap();
        }
    }

    /// A node's socket, and what comes of what is asked there.
    fn served() -> (State, mpsc::Receiver<Input>) {
        let state = State(tempfile::tempdir().unwrap());
        let directory = sockets::socket_dir(state.path()).unwrap();
        // Of root they are elsewhere, and nodes that start meanwhile sweep what nobody serves.
        let making = (!directory.exists()).then(|| {
            let parent = directory.parent().unwrap();
            fs::create_dir_all(parent).unwrap();
            let making = crate::sweep::making(parent).unwrap();
            fs::create_dir(&directory).unwrap();
            making
        });
        let listening = sockets::listen(&directory, ADMIN_SOCKET, Mode::RWXU).unwrap();
        let (inputs, queue) = mpsc::channel(16);
        let owner = rustix::process::geteuid().as_raw();
        let listener = Listener::new(listening).unwrap();
        drop(making);
        tokio::spawn(serve(listener, owner, Inputs(inputs)));
        (state, queue)
    }

    fn connect(state: &Path) -> OwnedFd {
        let node = reach(state).unwrap().unwrap();
        rustix::io::ioctl_fionbio(&node, true).unwrap();
        node
    }

    /// Whether the node has hung up.
    fn closed(node: &OwnedFd) -> bool {
        matches!(channel::try_recv::<Answer>(node), Ok(None))
    }

    async fn settled() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    #[tokio::test]
    async fn whoever_asks_takes_the_place_of_who_says_nothing() {
        let (state, mut queue) = served();
        let mut held: Vec<_> = (0..ADMIN_CONNECTIONS)
            .map(|_| connect(state.path()))
            .collect();
        settled().await;
        assert!(!held.iter().any(closed));
        // One more: the oldest goes, and only that.
        let asks = connect(state.path());
        settled().await;
        assert!(closed(&held[0]) && !held[1..].iter().any(closed));
        channel::send(&asks, &Request::Status, &[]).unwrap();
        let Some(Input::Status(answer)) = queue.recv().await else {
            panic!("nothing was asked");
        };
        // Whoever has asked stays, however many come.
        held.extend((0..2 * ADMIN_CONNECTIONS).map(|_| connect(state.path())));
        settled().await;
        assert_eq!(
            held.iter().filter(|held| !closed(held)).count(),
            ADMIN_CONNECTIONS - 1
        );
        assert!(!answer.is_closed() && !closed(&asks));
        drop(held);
        // Where all have asked, there is none for one more.
        let asking = |_| {
            let node = connect(state.path());
            channel::send(&node, &Request::Status, &[]).unwrap();
            node
        };
        settled().await;
        let all: Vec<OwnedFd> = (1..ADMIN_CONNECTIONS).map(asking).collect();
        let mut questions = vec![answer];
        for _ in &all {
            match queue.recv().await {
                Some(Input::Status(answer)) => questions.push(answer),
                _ => panic!("nothing was asked"),
            }
        }
        let more = connect(state.path());
        settled().await;
        assert!(closed(&more) && !all.iter().any(closed));
        // It comes again until there is one.
        let path = state.path().to_owned();
        let again = tokio::task::spawn_blocking(move || ask(&path, &Request::Status));
        settled().await;
        assert!(!again.is_finished());
        drop(questions.pop());
        let Some(Input::Status(answer)) = queue.recv().await else {
            panic!("nothing was asked");
        };
        drop(answer);
        let said = again.await.unwrap().unwrap().unwrap().1.message;
        assert!(matches!(said, Answer::Refused { .. }), "{said:?}");
    }

    #[tokio::test]
    async fn the_version_of_a_taker_over_is_cut() {
        let (state, mut queue) = served();
        for (length, left) in [(VERSION_MAX, VERSION_MAX), (VERSION_MAX + 1, VERSION_MAX)] {
            let wish = Request::HandOver {
                pid: 7,
                version: "é".repeat(length),
            };
            let node = connect(state.path());
            channel::send(&node, &wish, &[]).unwrap();
            let Some(Input::Stop(why)) = queue.recv().await else {
                panic!("it goes on");
            };
            let said = format!("to hand over to process 7 (version {})", "é".repeat(left));
            assert_eq!(why, said);
        }
    }
}
