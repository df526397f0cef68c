//! A connection into a compartment, on a socket that its launcher made and may still hold.
//!
//! Launcher and enforcer share the open file, and with it the flag that says whether calls wait. No call here relies on
//! that flag: each says for itself that it must not wait. A workload's launcher can spoil this connection; it cannot
//! hold up the thread that serves it, and others beside.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::closing;

/// The connection.
#[derive(Debug)]
pub(crate) struct Inward {
    /// `None` only while it is dropped.
    socket: Option<AsyncFd<TcpStream>>,
    /// The launcher is another user's.
    shared: bool,
    /// See [`Inward::in_messages`].
    in_messages: bool,
}

impl Inward {
    /// Connects `socket`, which is bound already, to `place`.
    pub(crate) async fn connect(
        socket: TcpStream,
        place: SocketAddr,
        shared: bool,
    ) -> io::Result<Self> {
        begin(&socket, place)?;
        let this = Self {
            socket: Some(registered(socket)?),
            shared,
            in_messages: false,
        };
        let socket = this.socket()?;
        socket.writable().await?.retain_ready();
        match socket.get_ref().take_error()? {
            Some(cause) => Err(cause),
            None => Ok(this),
        }
    }

    /// What comes is read as messages without urgent data: a read that does not fill its buffer took all there was, so the
    /// kernel need not be asked again before it announces more. (At urgent data a read stops short of what is behind it.)
    pub(crate) fn in_messages(&mut self) {
        self.in_messages = true;
    }

    /// Whether a launcher of another user has this socket too.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// The other end.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket()?.get_ref().peer_addr()
    }

    /// This end.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket()?.get_ref().local_addr()
    }

    fn socket(&self) -> io::Result<&AsyncFd<TcpStream>> {
        self.socket
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for types that exchange their descriptor; `TcpStream` does not"
)]
fn registered(socket: TcpStream) -> io::Result<AsyncFd<TcpStream>> {
    AsyncFd::new(socket)
}

/// Begins to connect, and does not wait whatever the mode of `socket`: `connect` has no flag that says so, sending with
/// `MSG_FASTOPEN` has. Without anything to send it is a plain SYN, with the option of TCP Fast Open at most.
fn begin(socket: &TcpStream, place: SocketAddr) -> io::Result<()> {
    let flags =
        SendFlags::from_bits_retain(MSG_FASTOPEN) | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match rustix::net::sendto(socket, &[], flags, &place) {
        Ok(_) | Err(Errno::INPROGRESS) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
}

/// Linux: connect, and send along what may be.
const MSG_FASTOPEN: u32 = 0x2000_0000;

impl AsFd for Inward {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Some(socket) => socket.as_fd(),
            None => unreachable!("taken away by drop alone"),
        }
    }
}

impl AsyncRead for Inward {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.socket()?;
        loop {
            let mut guard = ready!(socket.poll_read_ready(cx))?;
            let room = buffer.initialize_unfilled();
            let asked = room.len();
            match guard.try_io(|socket| Ok(rustix::net::recv(socket, room, RecvFlags::DONTWAIT)?)) {
                Ok(Ok((count, _))) => {
                    if self.in_messages && (1..asked).contains(&count) {
                        // An end that was announced already stays announced.
                        guard.clear_ready();
                    }
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(cause)) => return Poll::Ready(Err(cause)),
                Err(_would_block) => {}
            }
        }
    }
}

const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

impl Inward {
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl Fn(&AsyncFd<TcpStream>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.socket()?;
        loop {
            let mut guard = ready!(socket.poll_write_ready(cx))?;
            match guard.try_io(&send) {
                Ok(sent) => return Poll::Ready(sent),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Inward {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |socket| Ok(rustix::net::send(socket, bytes, SEND)?))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |socket| {
            let mut none = rustix::net::SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(socket, bytes, &mut none, SEND)?)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?
            .get_ref()
            .shutdown(std::net::Shutdown::Write)?;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Inward {
    fn drop(&mut self) {
        let Some(socket) = self.socket.take().filter(|_| self.shared) else {
            return;
        };
        closing::aside(vec![socket]);
    }
}

#[cfg(test)]
mod tests;
