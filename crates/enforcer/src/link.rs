//! Messages with descriptors beside, without blocking a thread.

use std::io;
use std::os::fd::OwnedFd;

use ringfence_compartment::channel::{self, Packet};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// One end of a channel to the node or to a launcher.
pub(crate) struct Link {
    /// A `SOCK_SEQPACKET` socket really, which the runtime has no type for. It only serves to wait for readiness;
    /// all reading and writing is done by `channel`.
    socket: UnixDatagram,
}

impl Link {
    /// Takes the descriptor, which nobody else may use.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixDatagram::from_std(socket)?,
        })
    }

    /// The next message; `None` when the other side has gone. May be dropped and called again: nothing is lost.
    pub(crate) async fn recv<T: DeserializeOwned>(&self) -> io::Result<Option<Packet<T>>> {
        self.socket
            .async_io(Interest::READABLE, || channel::try_recv(&self.socket))
            .await
    }

    /// Sends a message; waits for room.
    pub(crate) async fn send<T: Serialize>(&self, message: &T) -> io::Result<()> {
        self.socket
            .async_io(Interest::WRITABLE, || {
                channel::send(&self.socket, message, &[])
            })
            .await
    }
}

#[cfg(test)]
impl Link {
    /// Sends with descriptors beside, as the other side does; `WouldBlock` when there is no room.
    pub(crate) fn send_with<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[std::os::fd::BorrowedFd<'_>],
    ) -> io::Result<()> {
        channel::send(&self.socket, message, descriptors)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringfence_compartment::link::{FromEnforcer, ToEnforcer};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn carries_messages_both_ways_and_tells_the_end() {
        let (near, far) = channel::pair().unwrap();
        let link = Link::new(near).unwrap();
        link.send(&FromEnforcer::Armed).await.unwrap();
        let heard: FromEnforcer = channel::recv(&far).unwrap().unwrap().message;
        assert_eq!(heard, FromEnforcer::Armed);

        let nothing = timeout(Duration::from_millis(20), link.recv::<ToEnforcer>()).await;
        assert!(nothing.is_err());
        let sent = ToEnforcer::Attempts {
            attempts: Vec::new(),
        };
        channel::send(&far, &sent, &[]).unwrap();
        assert_eq!(
            link.recv::<ToEnforcer>().await.unwrap().unwrap().message,
            sent
        );
        drop(far);
        assert!(link.recv::<ToEnforcer>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn waits_for_room_instead_of_blocking() {
        let (near, far) = channel::pair().unwrap();
        let link = Link::new(near).unwrap();
        let long = FromEnforcer::Rejected {
            reason: "x".repeat(60_000),
        };
        let mut sent = 0;
        while timeout(Duration::from_millis(50), link.send(&long))
            .await
            .is_ok()
        {
            sent += 1;
            assert!(sent < 1000, "a socket has room for everything");
        }
        for _ in 0..sent {
            assert!(channel::recv::<FromEnforcer>(&far).unwrap().is_some());
        }
        timeout(Duration::from_secs(5), link.send(&long))
            .await
            .unwrap()
            .unwrap();
    }
}
