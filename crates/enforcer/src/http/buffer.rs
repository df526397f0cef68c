//! Bytes read and not yet passed on. Empty, it holds no memory: what it gives back stays with the worker thread, up to
//! [`SPARES`] pieces, for whoever reads next, so that a request and its answer cost no allocation here.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::limits::{BUFFER_MAX, BUFFER_MIN, SPARES};

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that grows with use, from [`BUFFER_MIN`] to [`BUFFER_MAX`].
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: BytesMut,
    /// How much room the next read is given.
    room: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            room: BUFFER_MIN,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Buffer {
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Drops `count` bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
    }

    /// Takes `count` bytes from the front, out of the buffer.
    pub(crate) fn split(&mut self, count: usize) -> BytesMut {
        self.bytes.split_to(count.min(self.bytes.len()))
    }

    /// Gives the memory back, if nothing unread is in it, and remembers how much was of use.
    pub(crate) fn release(&mut self) {
        if !self.bytes.is_empty() {
            return;
        }
        self.let_go();
    }

    fn let_go(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // Grown ones are dropped: a thread keeps little.
        if bytes.try_reclaim(BUFFER_MIN) && bytes.capacity() < 2 * BUFFER_MIN {
            // A thread that is about to end keeps none.
            let _kept_or_dropped = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < SPARES {
                    spare.push(bytes);
                }
            });
        }
    }

    /// Room for the next read.
    fn make_room(&mut self) {
        if self.bytes.capacity() == 0
            && let Some(spare) = SPARE.with_borrow_mut(Vec::pop)
        {
            self.bytes = spare;
        }
        self.bytes.reserve(self.room);
    }

    /// Reads more behind what is there; 0 is the end of the stream.
    pub(crate) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let count = ready!(pin!(source.read_buf(&mut self.bytes)).poll(cx))?;
        if count >= self.room {
            self.room = (self.room * 2).min(BUFFER_MAX);
        } else if count < self.room / 4 {
            self.room = (self.room / 2).max(BUFFER_MIN);
        }
        Poll::Ready(Ok(count))
    }

    /// Reads more behind what is there; 0 is the end of the stream.
    pub(crate) async fn fill<R: AsyncRead + Unpin>(&mut self, source: &mut R) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx, source)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn filled(source: &[u8]) -> Buffer {
        let mut buffer = Buffer::default();
        let mut source = source;
        while buffer.fill(&mut source).await.unwrap() > 0 {}
        buffer
    }

    fn kept() -> usize {
        SPARE.with_borrow(Vec::len)
    }

    /// `SPARES`: an empty buffer holds nothing, and a thread keeps no more than so many for all of them.
    #[tokio::test]
    async fn memory_of_empty_buffers_stays_with_the_thread_up_to_a_bound() {
        let mut buffers = Vec::new();
        for _ in 0..=SPARES {
            buffers.push(filled(b"a request").await);
        }
        assert_eq!(kept(), 0);
        for (before, buffer) in buffers.iter_mut().enumerate() {
            buffer.release();
            assert_eq!(kept(), before.min(SPARES), "there is something in it");
            buffer.consume(usize::MAX);
            buffer.release();
            assert_eq!(buffer.bytes.capacity(), 0);
            assert_eq!(kept(), (before + 1).min(SPARES));
        }
        let again = filled(b"another").await;
        assert_eq!((again.unread(), kept()), (&b"another"[..], SPARES - 1));
        drop(again);
        assert_eq!(kept(), SPARES);
        // One that has grown is not kept.
        SPARE.with_borrow_mut(Vec::clear);
        drop(filled(&[b'x'; 4 * BUFFER_MIN]).await);
        assert_eq!(kept(), 0);
    }
}
