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

/// Operator to node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Request {
    /// How it stands.
    Status,
}

/// Node to operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
enum Answer {
    /// One descriptor beside: a sealed memory file with the answer as one line of JSON.
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
                        reason: format!("the request is not one: {error}"),
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
    }
}

/// Asks the node that serves the state directory `state` how it stands. `None`: no node is running there.
pub fn ask_status(state: &Path) -> io::Result<Option<Status>> {
    let directory = sockets::socket_dir(state)?;
    let socket = match sockets::connect(&directory, sockets::ADMIN_SOCKET) {
        Ok(socket) => socket,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let patience = Some(3 * ADMIN_WITHIN);
    rustix::net::sockopt::set_socket_timeout(
        &socket,
        rustix::net::sockopt::Timeout::Recv,
        patience,
    )?;
    rustix::net::sockopt::set_socket_timeout(
        &socket,
        rustix::net::sockopt::Timeout::Send,
        patience,
    )?;
    channel::send(&socket, &Request::Status, &[])?;
    let packet = channel::recv::<Answer>(&socket).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, "the node does not answer")
        }
        _ => error,
    })?;
    let Some(packet) = packet else {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the node hung up",
        ));
    };
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
