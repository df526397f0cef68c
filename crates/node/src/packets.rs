//! The channels to enforcer, launchers and operators, without ever holding up the one thread that serves them all.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ringfence_compartment::channel::{self, Bare, Packet};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::SocketFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The replacement is `unsafe` because a type may give another descriptor each time it is asked. [`OwnedFd`] never does,
/// and owns it until dropped, which is all that the replacement requires.
#[expect(deprecated)]
fn register(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// One end of a `SOCK_SEQPACKET` socket.
pub(crate) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self(register(
            socket,
            Interest::READABLE | Interest::WRITABLE,
        )?))
    }

    /// Sends one message, waiting for room.
    pub(crate) async fn send<T: Serialize>(
        &self,
        message: &T,
        beside: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        loop {
            let mut guard = self.0.writable().await?;
            match guard.try_io(|socket| channel::send(socket.get_ref(), message, beside)) {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }

    /// Receives one message, and no descriptor; `None` when the other side is gone.
    pub(crate) async fn recv<T: DeserializeOwned>(&self) -> io::Result<Option<Bare<T>>> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|socket| channel::try_recv_bare(socket.get_ref())) {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }

    /// The same, with the descriptors beside: from somebody who is trusted not to send one that cannot be closed.
    pub(crate) async fn recv_with_descriptors<T: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<Packet<T>>> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|socket| channel::recv(socket.get_ref())) {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// A listening socket.
pub(crate) struct Listener(AsyncFd<OwnedFd>);

impl Listener {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self(register(socket, Interest::READABLE)?))
    }

    pub(crate) async fn accept(&self) -> io::Result<OwnedFd> {
        loop {
            let mut guard = self.0.readable().await?;
            let accepted = guard.try_io(|socket| {
                Ok(rustix::net::accept_with(
                    socket.get_ref(),
                    SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                )?)
            });
            match accepted {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }
}

/// A process, watched by a descriptor that cannot come to mean another one.
pub(crate) struct Process(AsyncFd<OwnedFd>);

impl Process {
    pub(crate) fn new(pidfd: OwnedFd) -> io::Result<Self> {
        Ok(Self(register(pidfd, Interest::READABLE)?))
    }

    /// Whether it has ended by now. Not being able to tell counts as having ended.
    pub(crate) fn has_ended(&self) -> bool {
        let mut poll = [PollFd::new(self.0.get_ref(), PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&Timespec::default())) != Ok(0)
    }

    /// Resolves when it has ended.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        self.0.readable().await.map(|_| ())
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
