//! A TCP connection of which everything that has come is read.
//!
//! With `SO_OOBINLINE` the kernel ends a read before a byte that was sent as urgent, whatever stands behind it. tokio's
//! `TcpStream` takes any read that fills less than its buffer for the last one of what has come, and waits for more to
//! arrive: a peer that has sent an urgent byte and now waits for an answer would wait for ever. Here only the kernel's
//! word that nothing is there counts, for one more system call each time a connection runs dry.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The connection.
#[derive(Debug)]
pub(crate) struct Whole(TcpStream);

impl From<TcpStream> for Whole {
    fn from(tcp: TcpStream) -> Self {
        Self(tcp)
    }
}

impl Deref for Whole {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.0
    }
}

impl AsFd for Whole {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncRead for Whole {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(buffer) {
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Whole {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::net::{SendFlags, send, sockopt};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// All of it has come before the first read, so nothing arrives later that would wake the reader.
    #[tokio::test]
    async fn what_stands_behind_an_urgent_byte_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (near, _) = listener.accept().await.unwrap();
        sockopt::set_socket_oobinline(&near, true).unwrap();
        send(&far, b"abc", SendFlags::empty()).unwrap();
        send(&far, b"X", SendFlags::OOB).unwrap();
        send(&far, b"def", SendFlags::empty()).unwrap();
        let mut near = Whole::from(near);
        near.readable().await.unwrap();
        let mut heard = [0; 7];
        timeout(Duration::from_secs(10), near.read_exact(&mut heard))
            .await
            .expect("nothing is left lying")
            .unwrap();
        assert_eq!(&heard, b"abcXdef");
    }
}
