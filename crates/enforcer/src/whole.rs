//! A TCP connection of which everything that has come is read.
//!
//! With `SO_OOBINLINE` the kernel ends a read before a byte that was sent as urgent, whatever stands behind it. tokio's
//! `TcpStream` takes any read that fills less than its buffer for the last one of what has come, and waits for more to
//! arrive: a peer that has sent an urgent byte and now waits for an answer would wait for ever. Here whoever reads on is
//! given all that has come, for one more system call each time a connection runs dry. Whoever has what it wanted, and asks for
//! readiness before it reads again (`poll_read_ready`), goes without that call; it may then learn of what came behind an
//! urgent byte only with what comes next.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::splice::Side;

/// Bytes asked for where probably none are.
const ASKED_FOR: usize = 512;

/// The connection.
#[derive(Debug)]
pub(crate) struct Whole {
    tcp: TcpStream,
    /// The last read did not fill its buffer: perhaps that was all, perhaps an urgent byte was in the way.
    unsure: bool,
}

impl From<TcpStream> for Whole {
    fn from(tcp: TcpStream) -> Self {
        Self { tcp, unsure: false }
    }
}

impl Deref for Whole {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsFd for Whole {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

impl AsyncRead for Whole {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, asked) = (buffer.filled().len(), buffer.remaining());
        let read = match self.tcp.poll_read_ready(cx) {
            Poll::Ready(ready) => {
                ready?;
                Pin::new(&mut self.tcp).poll_read(cx, buffer)
            }
            Poll::Pending if self.unsure => self.ask_the_kernel(buffer),
            Poll::Pending => Poll::Pending,
        };
        let count = buffer.filled().len() - before;
        self.unsure = matches!(read, Poll::Ready(Ok(()))) && (1..asked).contains(&count);
        read
    }
}

impl Whole {
    /// Reads without having been told that there is something. Whoever asked for that is told when there is.
    fn ask_the_kernel(&self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Mostly nothing is there, and memory that is written to, be it with zeros, is memory that is taken.
        let room = buffer.initialize_unfilled_to(buffer.remaining().min(ASKED_FOR));
        match retry_on_intr(|| recv(&self.tcp, &mut *room, RecvFlags::DONTWAIT)) {
            Ok((count, _)) => {
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(Errno::AGAIN) => Poll::Pending,
            Err(cause) => Poll::Ready(Err(cause.into())),
        }
    }
}

impl Side for Whole {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl AsyncWrite for Whole {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
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
        // The runtime has been told of all of it before the first read.
        tokio::time::sleep(Duration::from_millis(100)).await;
        near.readable().await.unwrap();
        let mut heard = [0; 7];
        timeout(Duration::from_secs(10), near.read_exact(&mut heard))
            .await
            .expect("nothing is left lying")
            .unwrap();
        assert_eq!(&heard, b"abcXdef");
    }
}
