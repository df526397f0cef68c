//! One connection of the two: what was read from it, what waits to be written to it, its windows and its settings.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use ringfence_wire::http2::frame::{
    self, write_goaway, write_headers, write_reset, write_settings_ack, write_window,
};
use ringfence_wire::http2::hpack::{Decoder, Encoder};
use ringfence_wire::http2::{Block, ErrorCode, Settings, Violation, limits};
use tokio::io::{AsyncRead, AsyncWrite};

use super::budget::Budget;
use super::limits::{
    CONNECTION_WINDOW, IDLE_FRAMES_AT_ONCE, IDLE_FRAMES_PER_SECOND, OUT_HARD, OUT_SOFT,
};
use crate::http::Buffer;
use crate::memory::{Loan, Memory};

/// Bytes of a buffer that is kept for the next write.
const KEPT: usize = 2 * OUT_SOFT;

/// What the protocol begins with (RFC 9113, 6.5.2 and 6.9.2).
const INITIAL_WINDOW: u32 = 65_535;

pub(super) struct Side<S> {
    pub(super) io: S,
    /// Read and not yet dealt with.
    pub(super) inbound: Buffer,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    /// A header block whose end is missing, and since when.
    pub(super) block: Option<(Block, Instant)>,
    /// When a frame was whole last.
    pub(super) heard: Instant,
    /// Its SETTINGS have come.
    pub(super) greeted: bool,
    /// Bytes of data that it takes on the whole connection.
    pub(super) window: i64,
    /// Bytes of data that it takes on a stream that begins.
    pub(super) stream_window: i64,
    /// Streams that it bears at a time.
    pub(super) streams: usize,
    /// Bytes of data that it may still send on the whole connection.
    room: i64,
    /// Where that may be more than a connection begins with, for the rest.
    wide: Option<Loan>,
    memory: Arc<Memory>,
    /// Of those it has sent, how many were taken on and not given back to it.
    owed: u32,
    /// Frames that do nothing.
    idle_frames: Budget,
    out: Vec<u8>,
    written: usize,
    /// Something below holds bytes back that were written.
    unflushed: bool,
    /// Since when it takes nothing.
    stuck: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    /// `memory`: see [`super::gate::Gate::memory`].
    pub(super) fn new(io: S, memory: &Arc<Memory>) -> Self {
        Self {
            io,
            inbound: Buffer::default(),
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            block: None,
            heard: Instant::now(),
            greeted: false,
            window: i64::from(INITIAL_WINDOW),
            stream_window: i64::from(INITIAL_WINDOW),
            streams: usize::MAX,
            room: i64::from(INITIAL_WINDOW),
            wide: None,
            memory: Arc::clone(memory),
            owed: 0,
            idle_frames: Budget::new(IDLE_FRAMES_AT_ONCE, IDLE_FRAMES_PER_SECOND),
            out: Vec::new(),
            written: 0,
            unflushed: false,
            stuck: None,
        }
    }

    /// Puts our settings in line.
    pub(super) fn greet(&mut self, settings: &[(u16, u32)]) {
        frame::write_settings(settings, &mut self.out);
    }

    /// Takes a SETTINGS frame, and acknowledges it. Gives by how much the windows of its streams change.
    pub(super) fn settle(&mut self, settings: Settings) -> i64 {
        self.greeted = true;
        write_settings_ack(&mut self.out);
        if let Some(streams) = settings.streams {
            self.streams = usize::try_from(streams).unwrap_or(usize::MAX);
        }
        let before = self.stream_window;
        self.stream_window = settings.window.map_or(before, i64::from);
        self.stream_window - before
    }

    /// A frame that does nothing.
    pub(super) fn spend(&mut self) -> Result<(), Violation> {
        match self.idle_frames.spend() {
            true => Ok(()),
            false => Err(Violation::Flood),
        }
    }

    /// It opens the window of the connection.
    pub(super) fn open(&mut self, more: u32) -> Result<(), Violation> {
        self.window += i64::from(more);
        within(self.window)
    }

    /// It has sent data that takes `weight` of the window.
    pub(super) fn take(&mut self, weight: u32) -> Result<(), Violation> {
        self.room -= i64::from(weight);
        if self.room < i64::from(INITIAL_WINDOW / 2) {
            self.widen();
        }
        match self.room {
            0.. => Ok(()),
            _ => Err(Violation::WindowExceeded),
        }
    }

    /// Opens the window of the connection as far as it may be, once it is of use, and there is memory for it.
    fn widen(&mut self) {
        const MORE: u32 = CONNECTION_WINDOW - INITIAL_WINDOW;
        if self.wide.is_none() && self.room >= 0 {
            self.wide = self.memory.lend_spare(MORE as usize);
            if self.wide.is_some() {
                write_window(0, MORE, &mut self.out);
                self.room += i64::from(MORE);
            }
        }
    }

    /// `count` bytes of what it has sent are held no longer.
    pub(super) fn give_back(&mut self, count: u32) {
        self.owed += count;
        let window = match self.wide {
            Some(_) => CONNECTION_WINDOW,
            None => INITIAL_WINDOW,
        };
        if self.owed >= window / 2 {
            write_window(0, self.owed, &mut self.out);
            self.room += i64::from(self.owed);
            self.owed = 0;
        }
    }

    /// Opens the window of one of its streams.
    pub(super) fn give_back_on(&mut self, stream: u32, count: u32) {
        write_window(stream, count, &mut self.out);
    }

    pub(super) fn pong(&mut self, opaque: [u8; 8]) {
        frame::write_pong(opaque, &mut self.out);
    }

    pub(super) fn reset(&mut self, stream: u32, code: ErrorCode) {
        write_reset(stream, code, &mut self.out);
    }

    pub(super) fn goaway(&mut self, last: u32, code: ErrorCode) {
        write_goaway(last, code, &mut self.out);
    }

    /// A header block. Gives how many bytes that took.
    pub(super) fn headers(&mut self, stream: u32, fields: &[u8], end: bool) -> u64 {
        let before = self.out.len();
        write_headers(stream, self.encoder.begin(), fields, end, &mut self.out);
        // It may open the window of its streams a few times before there is data.
        self.idle_frames.earn(2);
        (self.out.len() - before) as u64
    }

    /// One DATA frame, for which the windows of connection and stream have room.
    pub(super) fn data(&mut self, stream: u32, data: &[u8], end: bool) -> u64 {
        frame::write_data(stream, data, end, &mut self.out);
        self.window -= data.len() as i64;
        if !data.is_empty() {
            // One WINDOW_UPDATE for the stream and one for the connection.
            self.idle_frames.earn(2);
        }
        (data.len() + frame::FRAME_HEADER) as u64
    }

    /// The client preface, for a service.
    pub(super) fn preface(&mut self) {
        self.out.extend_from_slice(frame::PREFACE);
    }

    /// How many bytes of data may be put in line now.
    pub(super) fn takes(&self) -> usize {
        if self.waiting() >= OUT_SOFT {
            return 0;
        }
        usize::try_from(self.window)
            .unwrap_or(0)
            .min(limits::FRAME_MAX)
    }

    fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    /// So much waits that nothing may be read that adds to it.
    pub(super) fn is_clogged(&self) -> bool {
        self.waiting() >= OUT_HARD
    }

    /// Writes what waits; whether anything was written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.is_flushed() {
            return Ok(false);
        }
        let mut moved = false;
        while let Some(rest) = self.out.get(self.written..)
            && !rest.is_empty()
        {
            match Pin::new(&mut self.io).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.stuck = None;
                    self.unflushed = true;
                    moved = true;
                }
                Poll::Ready(Err(cause)) => return Err(cause),
                Poll::Pending => {
                    self.stuck.get_or_insert_with(Instant::now);
                    self.compact();
                    return Ok(moved);
                }
            }
        }
        self.out.clear();
        self.written = 0;
        if self.out.capacity() > KEPT {
            self.out = Vec::new();
        }
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                self.stuck = None;
            }
            Poll::Ready(Err(cause)) => return Err(cause),
            Poll::Pending => {
                self.stuck.get_or_insert_with(Instant::now);
            }
        }
        Ok(moved)
    }

    /// Does not let written bytes pile up before those that wait.
    fn compact(&mut self) {
        if self.written >= OUT_SOFT {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Gives memory back that holds nothing: what costs nothing to take again, and all of it after a while.
    pub(super) fn rest(&mut self, idle: bool) {
        self.inbound.release();
        if idle && self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// Since when it has taken nothing of what waits.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        self.stuck
    }

    /// Whether everything was written.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty() && !self.unflushed
    }

    /// Since when something has begun that is not whole.
    pub(super) fn incomplete_since(&self) -> Option<Instant> {
        match &self.block {
            Some((_, since)) => Some(*since),
            None if !self.greeted || !self.inbound.is_empty() => Some(self.heard),
            None => None,
        }
    }
}

/// A window after it was opened.
pub(super) fn within(window: i64) -> Result<(), Violation> {
    match window > i64::from(limits::WINDOW_MAX) {
        true => Err(Violation::WindowTooLarge),
        false => Ok(()),
    }
}
