//! Messages with descriptors beside, without blocking a thread.

use std::io;
use std::os::fd::OwnedFd;

use ringfence_compartment::channel::{self, Packet};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;

/// One end of a channel to the node or to a launcher.
pub(crate) struct Link {
    socket: AsyncFd<OwnedFd>,
}

impl Link {
    /// Takes the descriptor, which nobody else may use.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self { socket: AsyncFd::new(socket)? })
    }

    /// The next message; `None` when the other side has gone. May be dropped and called again: nothing is lost.
    pub(crate) async fn recv<T: DeserializeOwned>(&self) -> io::Result<Option<Packet<T>>> {
        loop {
            let mut ready = self.socket.readable().await?;
            if let Ok(received) = ready.try_io(|socket| channel::try_recv(socket.get_ref())) {
                return received;
            }
        }
    }

    /// Sends a message; waits for room.
    pub(crate) async fn send<T: Serialize>(&self, message: &T) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            if let Ok(sent) = ready.try_io(|socket| channel::send(socket.get_ref(), message, &[])) {
                return sent;
            }
        }
    }
}
