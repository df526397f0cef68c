//! Opaque bytes both ways, until both sides have finished or one of them may not go on.
//!
//! An idle connection holds no buffer at all: a worker thread reads into one scratch buffer of its own and writes
//! from it at once. Only what the other side did not take is kept, in a buffer that is let go when the flow runs
//! dry. No chunk of a flow that keeps up costs an allocation.
//!
//! A direction that fills the scratch buffer has much to say: from then on, and until it runs dry, the kernel moves its bytes
//! from socket to socket (`splice.rs`), as nobody reads them here.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::{RELAY_CHUNK, RELAY_SHIFT, RELAY_TURN};
use crate::splice::{Side, shift};

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; RELAY_CHUNK].into_boxed_slice());
}

/// How a relay ended.
#[derive(Debug)]
pub(crate) enum End<S> {
    /// Both sides closed in order.
    Finished,
    /// One side broke; the other must learn of it by a reset.
    Broken {
        /// `caller` or `service`.
        side: &'static str,
        /// What the kernel, or TLS, said.
        cause: io::Error,
    },
    /// The future that guards the connection resolved: not one byte more.
    Stopped(S),
}

/// Payload bytes that have been written, each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// From the caller to the service.
    pub(crate) sent: u64,
    /// From the service to the caller.
    pub(crate) received: u64,
}

/// Relays until both directions are closed, one breaks, or `stop` resolves (with the reason).
///
/// `stop` is looked at before any byte of a turn is moved. Neither stream is shut down on `Broken` and `Stopped`:
/// the caller resets both.
pub(crate) async fn relay<A, B, S>(
    caller: &mut A,
    service: &mut B,
    stop: impl Future<Output = S>,
) -> (End<S>, Moved)
where
    A: AsyncRead + AsyncWrite + Side + Unpin,
    B: AsyncRead + AsyncWrite + Side + Unpin,
{
    relay_begun(caller, service, [Vec::new(), Vec::new()], stop).await
}

/// The same, where something has been read already: from the caller, and from the service. It goes first.
pub(crate) async fn relay_begun<A, B, S>(
    caller: &mut A,
    service: &mut B,
    [there, back]: [Vec<u8>; 2],
    stop: impl Future<Output = S>,
) -> (End<S>, Moved)
where
    A: AsyncRead + AsyncWrite + Side + Unpin,
    B: AsyncRead + AsyncWrite + Side + Unpin,
{
    let mut stop = std::pin::pin!(stop);
    let mut there = Direction::begun(there);
    let mut back = Direction::begun(back);
    let end = std::future::poll_fn(|cx| {
        if let Poll::Ready(reason) = stop.as_mut().poll(cx) {
            return Poll::Ready(End::Stopped(reason));
        }
        let there_done = match there.turn(cx, caller, service) {
            Poll::Ready(Err(broken)) => return Poll::Ready(broken.end("caller", "service")),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        let back_done = match back.turn(cx, service, caller) {
            Poll::Ready(Err(broken)) => return Poll::Ready(broken.end("service", "caller")),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        if there_done && back_done {
            Poll::Ready(End::Finished)
        } else {
            Poll::Pending
        }
    })
    .await;
    (
        end,
        Moved {
            sent: there.moved,
            received: back.moved,
        },
    )
}

/// Which half of a direction failed.
enum Broken {
    Read(io::Error),
    Write(io::Error),
}

impl Broken {
    fn end<S>(self, reader: &'static str, writer: &'static str) -> End<S> {
        match self {
            Broken::Read(cause) => End::Broken {
                side: reader,
                cause,
            },
            Broken::Write(cause) => End::Broken {
                side: writer,
                cause,
            },
        }
    }
}

/// One way of a connection.
#[derive(Default)]
struct Direction {
    /// What the writer has not taken yet, from `done` on.
    kept: Vec<u8>,
    done: usize,
    /// Something was written since the last flush.
    unflushed: bool,
    /// The last read filled half its buffer, or more.
    much: bool,
    state: State,
    moved: u64,
}

#[derive(Default, PartialEq)]
enum State {
    #[default]
    Open,
    /// The reader has finished: what is kept goes out, then the end of it.
    Ending,
    Closed,
}

impl Direction {
    fn begun(kept: Vec<u8>) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    /// Moves as much as both sides allow. Ready when this direction is closed.
    fn turn<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Side + Unpin,
        W: AsyncWrite + Side + Unpin,
    {
        let mut chunks = 0;
        loop {
            if self.state == State::Closed {
                return Poll::Ready(Ok(()));
            }
            if chunks == RELAY_TURN {
                // There may be more; others first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            chunks += 1;
            ready!(self.drain(cx, to))?;
            if self.state == State::Ending {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Broken::Write)?;
                self.state = State::Closed;
                continue;
            }
            if self.much && self.shift(from, to)? {
                continue;
            }
            match self.pass(cx, from, to) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => {
                    self.kept = Vec::new();
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Broken::Write)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes what an earlier turn kept.
    fn drain<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<Result<(), Broken>> {
        while self.done < self.kept.len() {
            let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.kept[self.done..]))
                .map_err(Broken::Write)?;
            self.took(count)?;
            self.done += count;
        }
        self.kept.clear();
        self.done = 0;
        Poll::Ready(Ok(()))
    }

    /// Lets the kernel move a chunk. False when nothing was moved, whatever the reason: reading tells it.
    fn shift<R: Side, W: Side>(&mut self, from: &R, to: &W) -> Result<bool, Broken> {
        let (Some(from), Some(to)) = (from.socket(), to.socket()) else {
            self.much = false;
            return Ok(false);
        };
        let moved = shift(from, to, RELAY_SHIFT, &mut self.kept).map_err(Broken::Read)?;
        self.moved += moved.count as u64;
        self.much = moved.count > 0 || moved.stuck;
        Ok(self.much)
    }

    /// Reads one chunk and writes what the writer takes of it.
    fn pass<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(cx, &mut buffer)).map_err(Broken::Read)?;
            let mut chunk = buffer.filled();
            if chunk.is_empty() {
                self.state = State::Ending;
                return Poll::Ready(Ok(()));
            }
            self.much = chunk.len() >= RELAY_CHUNK / 2;
            while !chunk.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, chunk) {
                    Poll::Ready(Ok(count)) => {
                        self.took(count)?;
                        chunk = &chunk[count..];
                    }
                    Poll::Ready(Err(cause)) => return Poll::Ready(Err(Broken::Write(cause))),
                    Poll::Pending => {
                        self.kept.extend_from_slice(chunk);
                        break;
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    fn took(&mut self, count: usize) -> Result<(), Broken> {
        if count == 0 {
            return Err(Broken::Write(io::ErrorKind::WriteZero.into()));
        }
        self.moved += count as u64;
        self.unflushed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
