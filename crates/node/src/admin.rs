//! `admin.sock`: what operators ask of a running node. One request, one answer, and the connection closes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringfence_compartment::{channel, memfd, sockets};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::limits::{ADMIN_CONNECTIONS, ADMIN_WITHIN};
use crate::packets::{Channel, Listener};
use crate::status::Status;
use crate::supervisor::{Input, Inputs};

/// How the refusal of a request begins that the node does not know. Later versions go by it.
const NOT_ONE: &str = "the request is not one";
/// Characters of a version that are shown and recorded.
const VERSION_MAX: usize = 40;

/// Operator to node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Request {
    /// How it stands.
    Status,
    /// Stop: the process `pid`, of version `version`, serves this state from now on. For records; who asks is known.
    HandOver {
        /// Process that takes over.
        pid: u32,
        /// Its version.
        version: String,
    },
}

/// Node to operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
enum Answer {
    /// To `Status`, one descriptor beside: a sealed memory file with the answer as one line of JSON.
    Done,
    /// No, and why.
    Refused { reason: String },
}

/// Accepts operators until the node ends.
pub(crate) async fn serve(listener: Listener, owner: u32, inputs: Inputs) {
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    continue;
                };
                let inputs = inputs.clone();
                tokio::spawn(async move {
                    // An operator who hangs up is nobody's loss.
                    let _ = timeout(2 * ADMIN_WITHIN, converse(socket, owner, inputs)).await;
                    drop(place);
                });
            }
            Err(error) => {
                crate::say::warn(&format!("admin.sock cannot take a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn converse(socket: OwnedFd, owner: u32, inputs: Inputs) -> io::Result<()> {
    let peer = sockets::peer(&socket)?;
    let channel = Channel::new(socket)?;
    let asked = channel.recv::<Request>().await;
    // Not before: closing a socket with something unread takes back what was said on it.
    if peer.uid != owner && peer.uid != 0 {
        let reason = "only root and the owner of the node may ask".to_owned();
        return channel.send(&Answer::Refused { reason }, &[]).await;
    }
    let request = match asked {
        Ok(Some(packet)) => packet.message,
        Ok(None) => return Ok(()),
        Err(error) => {
            return channel
                .send(
                    &Answer::Refused {
                        reason: format!("{NOT_ONE}: {error}"),
                    },
                    &[],
                )
                .await;
        }
    };
    match request {
        Request::Status => {
            let (answer, answered) = oneshot::channel();
            inputs.send(Input::Status(answer)).await;
            let Ok(status) = answered.await else {
                return channel
                    .send(
                        &Answer::Refused {
                            reason: "the node is stopping".to_owned(),
                        },
                        &[],
                    )
                    .await;
            };
            let mut line = serde_json::to_vec(&status)?;
            line.push(b'\n');
            let file = memfd::sealed("ringfence-answer", &line)?;
            channel.send(&Answer::Done, &[file.as_fd()]).await
        }
        Request::HandOver { pid, version } => {
            // Said to somebody who is still there: a node that was stopped when it was asked does not end later for nobody.
            channel.send(&Answer::Done, &[]).await?;
            let version: String = version.chars().take(VERSION_MAX).collect();
            let why = format!("to hand over to process {pid} (version {version})");
            inputs.send(Input::Stop(why)).await;
            Ok(())
        }
    }
}

/// Asks the node that serves the state directory `state` how it stands. `None`: no node is running there.
pub fn ask_status(state: &Path) -> io::Result<Option<Status>> {
    let Some(node) = reach(state)? else {
        return Ok(None);
    };
    let packet = ask(&node, &Request::Status)?;
    match packet.message {
        Answer::Refused { reason } => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
        Answer::Done => {
            let file = packet.descriptors.into_iter().next();
            let file = file.ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "the answer is missing")
            })?;
            Ok(Some(serde_json::from_slice(&memfd::read(file)?)?))
        }
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
    let Some(node) = reach(state)? else {
        return Ok(HandOver::Absent);
    };
    let pid = sockets::peer(&node)?.pid;
    let process = sockets::peer_process(&node)?.descriptor;
    let wish = Request::HandOver {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    match ask(&node, &wish)?.message {
        Answer::Done => Ok(HandOver::Agreed(pid)),
        Answer::Refused { reason } if reason.starts_with(NOT_ONE) => {
            rustix::process::pidfd_send_signal(&process, rustix::process::Signal::TERM)?;
            Ok(HandOver::Signalled(pid))
        }
        Answer::Refused { reason } => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
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

fn ask(node: &OwnedFd, request: &Request) -> io::Result<channel::Packet<Answer>> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    let patience = Some(3 * ADMIN_WITHIN);
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
