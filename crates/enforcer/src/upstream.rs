//! The far side of a connection: plain into a compartment, TLS or plain to an endpoint.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::inward::Inward;
use crate::splice::Side;
use crate::whole::Whole;

/// A connection to a service, open.
pub(crate) enum Stream {
    /// Into a compartment.
    Inside(Inward),
    /// Bytes as they are.
    Plain(Whole),
    /// TLS 1.3, the name verified. A drop without a shutdown sends no `close_notify`: the other end can tell.
    Tls(Box<TlsStream<Whole>>),
}

/// A [`Stream`] that ends in a reset if its connection was cut.
pub(crate) struct Upstream {
    stream: Stream,
    cut: Arc<AtomicBool>,
}

impl Upstream {
    /// When `cut` is set before the drop, the service sees a reset.
    pub(crate) fn new(stream: Stream, cut: Arc<AtomicBool>) -> Self {
        Self { stream, cut }
    }
}

impl Upstream {
    /// Whoever reads it reads messages, without urgent data.
    pub(crate) fn in_messages(mut self) -> Self {
        if let Stream::Inside(inward) = &mut self.stream {
            inward.in_messages();
        }
        self
    }

    /// From here on the service sees a reset, however this ends, until [`Upstream::may_end`].
    pub(crate) fn must_not_end(&self) {
        reset_on_close(self.stream.tcp());
    }

    /// What is queued is delivered when this is dropped, and the end of it looks like one.
    pub(crate) fn may_end(&self) {
        close_in_order(self.stream.tcp());
    }
}

impl Stream {
    fn tcp(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Inside(inward) => inward.as_fd(),
            Stream::Plain(tcp) => tcp.as_fd(),
            Stream::Tls(tls) => tls.get_ref().0.as_fd(),
        }
    }
}

impl Side for Upstream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.stream {
            // Whoever shares the socket can have calls on it wait that have no flag against it.
            Stream::Inside(inward) if inward.is_shared() => None,
            Stream::Inside(_) | Stream::Plain(_) => Some(self.stream.tcp()),
            // What is on the socket is not what is above it.
            Stream::Tls(_) => None,
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if self.cut.load(Ordering::Acquire) {
            reset_on_close(self.stream.tcp());
        }
    }
}

/// Makes the close of `tcp` a reset: whatever is queued is thrown away.
pub(crate) fn reset_on_close(tcp: impl AsFd) {
    // Fails only for a socket that is gone already; then there is nothing left to reset.
    let _gone_already = sockopt::set_socket_linger(tcp, Some(Duration::ZERO));
}

/// Undoes [`reset_on_close`].
pub(crate) fn close_in_order(tcp: impl AsFd) {
    // As above.
    let _gone_already = sockopt::set_socket_linger(tcp, None);
}

impl AsyncRead for Upstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Inside(inward) => Pin::new(inward).poll_read(cx, buffer),
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Upstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Inside(inward) => Pin::new(inward).poll_write(cx, bytes),
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Inside(inward) => Pin::new(inward).poll_write_vectored(cx, bytes),
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Inside(inward) => inward.is_write_vectored(),
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.get_ref().0.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Inside(inward) => Pin::new(inward).poll_flush(cx),
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Inside(inward) => Pin::new(inward).poll_shutdown(cx),
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
