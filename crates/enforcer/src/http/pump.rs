//! Moves one body one way: decoded, checked, written again in canonical form. Reads only what it can pass on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ringfence_wire::http1::{BodyReader, Framing, Refusal, Step, write_chunk, write_last_chunk};
use tokio::io::{AsyncRead, AsyncWrite};

use super::buffer::Buffer;
use super::limits::{BUFFER_MAX, COALESCE_MAX, PUMP_TURN};

/// Why a body did not arrive whole.
#[derive(Debug)]
pub(super) enum Broken {
    /// The side it came from ended too early or reset.
    Source,
    /// The side it goes to takes no more.
    Sink,
    /// The side it came from framed it unsoundly.
    Malformed(Refusal),
}

/// One message on its way: what is staged (its head, at first), then its body.
#[derive(Debug)]
pub(super) struct Pump {
    body: BodyReader,
    /// The data leaves in chunks.
    chunked: bool,
    /// The data comes in chunks, so it is not at the front of the buffer as it is.
    unwrap: bool,
    /// Bytes to be written before anything else, from `written` on.
    staged: Vec<u8>,
    written: usize,
    /// Bytes at the front of the source's buffer that go on as they are.
    direct: usize,
    /// The end of the body is staged.
    ended: bool,
    /// Trailers go no further.
    drop_trailers: bool,
    /// Bytes given to the sink since last asked.
    moved: u64,
}

impl Pump {
    /// A message that starts with `head` (already canonical), its body framed as `from` on the way in and as `to` on
    /// the way out. `inbound` holds what has arrived of the body: a small one leaves together with the head.
    pub(super) fn new(head: Vec<u8>, from: Framing, to: Framing, inbound: &mut Buffer) -> Self {
        Self::resumed(head, BodyReader::new(from), (from, to), inbound)
    }

    /// The same, for a body of which `body` has taken a part, or all, from `inbound`; `head` has that in its new framing.
    pub(super) fn resumed(
        head: Vec<u8>,
        body: BodyReader,
        (from, to): (Framing, Framing),
        inbound: &mut Buffer,
    ) -> Self {
        let mut pump = Self {
            body,
            chunked: to == Framing::Chunked,
            unwrap: from == Framing::Chunked,
            staged: head,
            written: 0,
            direct: 0,
            ended: false,
            drop_trailers: false,
            moved: 0,
        };
        if inbound.unread().len() <= COALESCE_MAX && !pump.unwrap && !pump.chunked {
            let mut input = inbound.unread();
            let before = input.len();
            if let Ok(Step::Data(data)) = pump.body.next(&mut input) {
                pump.staged.extend_from_slice(data);
                let used = before - input.len();
                inbound.consume(used);
            }
        }
        pump
    }

    /// A message that is a head and nothing else.
    pub(super) fn bare(head: Vec<u8>) -> Self {
        Self::new(head, Framing::None, Framing::None, &mut Buffer::default())
    }

    /// The same, its trailers dropped.
    pub(super) fn without_trailers(mut self) -> Self {
        self.drop_trailers = true;
        self
    }

    /// Whether all of the message was written (though perhaps not flushed).
    pub(super) fn is_written(&self) -> bool {
        self.body.is_complete()
            && self.direct == 0
            && (self.ended || !self.chunked)
            && self.written == self.staged.len()
    }

    /// Bytes given to the sink since the last call.
    pub(super) fn take_moved(&mut self) -> u64 {
        std::mem::take(&mut self.moved)
    }

    /// Moves what can be moved; ready when the message is written and flushed.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        inbound: &mut Buffer,
        sink: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut left = PUMP_TURN;
        loop {
            ready!(self.poll_staged(cx, sink)).map_err(|_| Broken::Sink)?;
            ready!(self.poll_direct(cx, inbound, sink)).map_err(|_| Broken::Sink)?;
            if left == 0 {
                // There may be more; others first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.decode(inbound, &mut left).map_err(Broken::Malformed)? || left == 0 {
                continue;
            }
            if self.is_written() {
                return Pin::new(sink).poll_flush(cx).map_err(|_| Broken::Sink);
            }
            match inbound.poll_fill(cx, source) {
                Poll::Ready(Ok(0)) => self.body.end_of_input().map_err(|_| Broken::Source)?,
                Poll::Ready(Ok(count)) => left = left.saturating_sub(count.div_ceil(1024)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Source)),
                Poll::Pending => {
                    inbound.release();
                    // What was written may sit in the sink's own buffer, and nobody would push it on.
                    if let Poll::Ready(Err(_)) = Pin::new(sink).poll_flush(cx) {
                        return Poll::Ready(Err(Broken::Sink));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Decodes what is in `inbound`, up to `left` chunks of it. True when there is something new to write.
    fn decode(&mut self, inbound: &mut Buffer, left: &mut usize) -> Result<bool, Refusal> {
        if self.ended {
            return Ok(false);
        }
        let mut input = inbound.unread();
        let before = input.len();
        loop {
            match self.body.next(&mut input)? {
                Step::Partial => break,
                Step::End => {
                    self.ended = true;
                    if self.chunked {
                        let trailers = self.body.trailers();
                        let trailers = if self.drop_trailers { &[] } else { trailers };
                        write_last_chunk(trailers, &mut self.staged);
                    }
                    break;
                }
                Step::Data(data) if self.chunked => write_chunk(data, &mut self.staged),
                Step::Data(data) if self.unwrap => self.staged.extend_from_slice(data),
                Step::Data(data) => {
                    self.direct = data.len();
                    return Ok(true);
                }
            }
            *left = left.saturating_sub(1);
            if self.staged.len() >= BUFFER_MAX || *left == 0 {
                break;
            }
        }
        let used = before - input.len();
        inbound.consume(used);
        Ok(!self.staged.is_empty())
    }

    fn poll_staged<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .staged
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            let count = ready!(poll_some(cx, sink, rest))?;
            self.written += count;
            self.moved += count as u64;
        }
        self.staged.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_direct<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        inbound: &mut Buffer,
        sink: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.direct > 0 {
            let data = inbound.unread();
            let count = ready!(poll_some(cx, sink, data.get(..self.direct).unwrap_or(data)))?;
            inbound.consume(count);
            self.direct -= count;
            self.moved += count as u64;
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes at least one byte.
fn poll_some<W: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    sink: &mut W,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(sink).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        count => Poll::Ready(Ok(count)),
    }
}
