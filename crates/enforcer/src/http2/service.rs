//! The service: how its connection comes about, and its frames. It is trusted no further than the client.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use ringfence_wire::http2::frame::setting;
use ringfence_wire::http2::{
    Block, ErrorCode, Frame, Refusal, Settings, Violation, limits as wire, read_frame,
    read_response, read_trailers,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::weight;
use super::gate::Gate;
use super::limits::STREAM_WINDOW;
use super::recent::How;
use super::session::Session;
use super::side::{Side, within};
use super::stream::{End, Phase, Place};
use super::turn::Turn;
use crate::http::INTERIM_MAX;

/// The connection to the service. It belongs to one client alone.
pub(super) enum Service<'g, U> {
    /// There is none.
    Absent,
    /// It is being made.
    Dialling {
        dial: Pin<Box<dyn Future<Output = io::Result<U>> + Send + 'g>>,
        since: Instant,
    },
    /// It is there; before its SETTINGS have come, nothing of a client's goes there.
    Open {
        side: Box<Side<U>>,
        since: Instant,
        /// It takes no more streams.
        leaves: bool,
    },
}

impl<U: AsyncRead + AsyncWrite + Unpin> Service<'_, U> {
    pub(super) fn is_clogged(&self) -> bool {
        matches!(self, Self::Open { side, .. } if side.is_clogged())
    }

    /// Bytes of data that it takes on a stream that begins.
    pub(super) fn stream_window(&self) -> i64 {
        match self {
            Self::Open { side, .. } => side.stream_window,
            Self::Absent | Self::Dialling { .. } => 0,
        }
    }
}

/// Why a connection to a service is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("service closed the connection before its answers were complete")]
    Ended,
    #[error("unsound frames: {0}")]
    Violation(#[from] Violation),
    #[error("service did not say in time that it speaks HTTP/2")]
    Silent,
    #[error("service takes nothing")]
    Stuck,
}

impl<G: Gate> Session<'_, G> {
    /// Whether a stream can go to the service now.
    pub(super) fn has_room(&self) -> bool {
        match &self.service {
            Service::Open {
                side,
                leaves: false,
                ..
            } => side.greeted && self.streams.with_service() < side.streams,
            _ => false,
        }
    }

    /// Makes a connection, unless there is one.
    pub(super) fn call_service(&mut self) {
        if matches!(self.service, Service::Absent) {
            self.service = Service::Dialling {
                dial: Box::pin(self.gate.dial()),
                since: self.now,
            };
        }
    }

    /// Goes on with the dial, or reads; whether anything was done.
    pub(super) fn poll_service(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> bool {
        match &mut self.service {
            Service::Absent => false,
            Service::Dialling { dial, .. } => match dial.as_mut().poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(io)) => {
                    let mut side = Box::new(Side::new(io, self.gate.memory()));
                    side.preface();
                    side.greet(&[
                        (setting::ENABLE_PUSH, 0),
                        (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                        (setting::MAX_HEADER_LIST_SIZE, wire::HEADER_LIST_MAX as u32),
                    ]);
                    self.next_up = 1;
                    self.service = Service::Open {
                        side,
                        since: self.now,
                        leaves: false,
                    };
                    true
                }
                Poll::Ready(Err(cause)) => {
                    self.service = Service::Absent;
                    let late = cause.kind() == io::ErrorKind::TimedOut;
                    self.fail_all(if late { 504 } else { 502 });
                    true
                }
            },
            Service::Open { .. } => match self.read_service(cx, turn) {
                Ok(moved) => moved,
                Err(fault) => {
                    self.service_failed(fault, 502);
                    true
                }
            },
        }
    }

    /// Writes what waits for it; whether anything was written.
    pub(super) fn write_service(&mut self, cx: &mut Context<'_>) -> bool {
        let Service::Open { side, .. } = &mut self.service else {
            return false;
        };
        match side.poll_write(cx) {
            Ok(moved) => {
                if moved {
                    for arrived in self.arrived.drain(..) {
                        self.gate.sent_on(arrived);
                    }
                }
                moved
            }
            Err(_) => {
                self.service_failed(Fault::Ended, 502);
                true
            }
        }
    }

    fn read_service(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Result<bool, Fault> {
        let mut moved = false;
        loop {
            moved |= self.take_service(turn)?;
            if turn.is_over() || self.is_clogged() {
                return Ok(moved);
            }
            let Service::Open { side, .. } = &mut self.service else {
                return Ok(moved);
            };
            let begins = side.inbound.is_empty();
            match side.inbound.poll_fill(cx, &mut side.io) {
                Poll::Pending => return Ok(moved),
                Poll::Ready(Ok(count @ 1..)) => {
                    moved = true;
                    if begins {
                        side.heard = self.now;
                    }
                    turn.spend(count / 1024);
                }
                Poll::Ready(Ok(_) | Err(_)) => return Err(Fault::Ended),
            }
        }
    }

    fn take_service(&mut self, turn: &mut Turn) -> Result<bool, Violation> {
        let Service::Open { side, .. } = &mut self.service else {
            return Ok(false);
        };
        let inbound = std::mem::take(&mut side.inbound);
        let mut taken = 0;
        let mut result = Ok(());
        while !turn.is_over() && !self.is_clogged() {
            let rest = inbound.unread().get(taken..).unwrap_or_default();
            let frame = match read_frame(rest) {
                Ok(Some((frame, length))) => {
                    taken += length;
                    frame
                }
                Ok(None) => break,
                Err(violation) => {
                    result = Err(violation);
                    break;
                }
            };
            let weight = weight(&frame);
            result = self.service_frame(frame);
            turn.spend(weight);
            if result.is_err() {
                break;
            }
        }
        if let Service::Open { side, .. } = &mut self.service {
            side.inbound = inbound;
            side.inbound.consume(taken);
            if taken > 0 {
                side.heard = self.now;
            }
        }
        result.map(|()| taken > 0)
    }

    fn service_frame(&mut self, frame: Frame<'_>) -> Result<(), Violation> {
        let Service::Open { side, leaves, .. } = &mut self.service else {
            return Ok(());
        };
        if let Some((mut block, since)) = side.block.take() {
            let Frame::Continuation {
                stream,
                fragment,
                whole,
            } = frame
            else {
                return Err(Violation::Interrupted);
            };
            block.extend(stream, fragment)?;
            if whole {
                return self.service_block(stream, block.bytes(), block.end);
            }
            side.block = Some((block, since));
            return Ok(());
        }
        if !side.greeted && !matches!(frame, Frame::Settings(_)) {
            return Err(Violation::Preface);
        }
        match frame {
            Frame::Data {
                stream,
                data,
                weight,
                end,
            } => self.service_data(stream, data, weight, end),
            Frame::Headers {
                stream,
                fragment,
                end,
                whole: true,
            } => self.service_block(stream, fragment, end),
            Frame::Headers {
                stream,
                fragment,
                end,
                whole: false,
            } => {
                side.block = Some((Block::begin(stream, end, fragment), self.now));
                Ok(())
            }
            Frame::Continuation { .. } => Err(Violation::Interrupted),
            Frame::Reset { stream, code } => self.service_resets(stream, ErrorCode::of(code)),
            Frame::Settings(settings) => self.service_settles(settings),
            Frame::Ping(opaque) => {
                side.spend()?;
                side.pong(opaque);
                Ok(())
            }
            Frame::GoAway { last, .. } => {
                *leaves = true;
                side.spend()?;
                self.service_leaves(last);
                Ok(())
            }
            Frame::Window { stream: 0, more } => {
                side.spend()?;
                self.backlog = true;
                side.open(more)
            }
            Frame::Window { stream, more } => {
                side.spend()?;
                match self.streams.by_up(stream) {
                    Some(place) => {
                        self.backlog = true;
                        let stream = self.streams.get_mut(place);
                        stream.map_or(Ok(()), |stream| {
                            stream.there.window += i64::from(more);
                            within(stream.there.window)
                        })
                    }
                    None => self.must_be_known(stream),
                }
            }
            Frame::Priority | Frame::SettingsAck | Frame::Pong | Frame::Unknown => side.spend(),
        }
    }

    fn must_be_known(&self, up: u32) -> Result<(), Violation> {
        match up % 2 == 1 && up < self.next_up {
            true => Ok(()),
            false => Err(Violation::Idle),
        }
    }

    fn service_settles(&mut self, settings: Settings) -> Result<(), Violation> {
        let Service::Open { side, .. } = &mut self.service else {
            return Ok(());
        };
        side.spend()?;
        if settings.push == Some(true) {
            return Err(Violation::Setting);
        }
        let change = side.settle(settings);
        for stream in self.streams.iter_mut().filter(|stream| stream.up != 0) {
            stream.there.window += change;
            within(stream.there.window)?;
        }
        self.backlog = true;
        self.send_waiting();
        Ok(())
    }

    /// The service takes no more streams, and has not looked at those above `last`. The client is told to come again.
    fn service_leaves(&mut self, last: u32) {
        if self.leaving.is_none() {
            self.leaving = Some(self.last);
            self.client.goaway(self.last, ErrorCode::NoError);
        }
        for place in self.streams.all() {
            let Some(stream) = self.streams.get_mut(place) else {
                continue;
            };
            let unseen = match stream.phase {
                Phase::Open { .. } => stream.up > last,
                Phase::Early(_) | Phase::Waiting { .. } | Phase::Gone => true,
            };
            if unseen && !stream.answered {
                self.client.reset(stream.id, ErrorCode::RefusedStream);
                self.remove(place, How::ByUs, None);
            }
        }
    }

    fn service_resets(&mut self, up: u32, code: ErrorCode) -> Result<(), Violation> {
        let Some(place) = self.streams.by_up(up) else {
            return self.must_be_known(up);
        };
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        if stream.back.end != End::Open && code == ErrorCode::NoError {
            // Its answer is whole; it wants no more of the request (RFC 9113, 8.1).
            stream.enough = true;
            self.pump_one(place);
            return Ok(());
        }
        self.client.reset(stream.id, code);
        self.remove(place, How::ByUs, None);
        Ok(())
    }

    /// A whole header block.
    fn service_block(&mut self, up: u32, block: &[u8], end: bool) -> Result<(), Violation> {
        let Service::Open { side, .. } = &mut self.service else {
            return Ok(());
        };
        self.list.clear();
        side.decoder.decode(block, &mut self.list)?;
        let Some(place) = self.streams.by_up(up) else {
            return match self.ended_there.how(up) {
                Some(How::ByUs) => side.spend(),
                Some(How::ByPeer) => Err(Violation::Closed),
                None => self.must_be_known(up).and(Err(Violation::Closed)),
            };
        };
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        if stream.back.end != End::Open {
            return Err(Violation::Closed);
        }
        stream.touched = self.now;
        let taken = if stream.answered {
            self.answer_ends(place, end)
        } else {
            self.answer_begins(place, end)
        };
        if let Err(refusal) = taken {
            self.bad_answer(place, &refusal.to_string());
        }
        Ok(())
    }

    /// The head of an answer, or of an interim one.
    fn answer_begins(&mut self, place: Place, end: bool) -> Result<(), Refusal> {
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        let head = read_response(&self.list, stream.to_head, end)?;
        self.fields.clear();
        head.write(&mut self.fields);
        if head.is_interim() {
            stream.interims += 1;
            if stream.interims > INTERIM_MAX {
                return Err(Refusal::TooManyInterims);
            }
        } else {
            stream.answered = true;
            stream.back.left = head.length;
        }
        self.moved.1 += self.client.headers(stream.id, &self.fields, end);
        if end {
            stream.back.end = End::Sent;
            self.finish(place);
        }
        Ok(())
    }

    /// Trailers.
    fn answer_ends(&mut self, place: Place, end: bool) -> Result<(), Refusal> {
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        let trailers = read_trailers(&self.list)?;
        if !end {
            return Err(Refusal::Trailers);
        }
        if !stream.back.measure(0, true) {
            return Err(Refusal::Length);
        }
        let mut block = Vec::new();
        trailers.write(&mut block);
        let trailers = (!trailers.is_empty()).then(|| block.into());
        if !stream.back.ends_with(trailers, false, self.gate.memory()) {
            self.gate.out_of_memory("trailers");
            self.reset_both(place, ErrorCode::Internal, ErrorCode::Cancel);
            return Ok(());
        }
        self.pump_one(place);
        Ok(())
    }

    fn service_data(
        &mut self,
        up: u32,
        data: &[u8],
        weight: u32,
        end: bool,
    ) -> Result<(), Violation> {
        let Service::Open { side, .. } = &mut self.service else {
            return Ok(());
        };
        side.take(weight)?;
        if data.is_empty() && !end {
            side.spend()?;
        }
        let Some(place) = self.streams.by_up(up) else {
            side.give_back(weight);
            self.must_be_known(up)?;
            return match self.ended_there.data(up, weight) {
                Some(How::ByUs) => Ok(()),
                Some(How::ByPeer) | None => Err(Violation::Closed),
            };
        };
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        stream.back.arrive(weight)?;
        stream.touched = self.now;
        let wrong = if !stream.answered {
            Some("body before its head")
        } else if !stream.back.measure(data.len(), end) {
            Some("body longer or shorter than its content-length")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            side.give_back(weight);
            self.bad_answer(place, wrong);
            return Ok(());
        }
        if end {
            stream.back.end = End::Due(None);
        }
        self.credit_service(place, weight - data.len() as u32);
        self.carry_back(place, data);
        self.pump_one(place);
        Ok(())
    }

    /// An answer that breaks the rules for messages. Its neighbours live on.
    fn bad_answer(&mut self, place: Place, reason: &str) {
        self.gate.upstream_failed(reason);
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if stream.answered {
            self.reset_both(place, ErrorCode::Internal, ErrorCode::Protocol);
        } else {
            self.answer(place, 502);
        }
    }

    /// The connection to the service is over, and with it what is under way there.
    fn service_failed(&mut self, fault: Fault, status: u16) {
        let under_way = self.streams.with_service() > 0 || self.waiting > 0;
        if under_way || fault != Fault::Ended {
            self.gate.upstream_failed(&fault.to_string());
        }
        self.service = Service::Absent;
        self.fail_all(status);
    }

    /// Every stream that waits for the service, or is with it, ends with `status`.
    fn fail_all(&mut self, status: u16) {
        self.arrived.clear();
        for place in self.streams.all() {
            let Some(stream) = self.streams.get_mut(place) else {
                continue;
            };
            match stream.phase {
                Phase::Early(_) => {}
                // All of it is here.
                _ if stream.back.end != End::Open && stream.answered => {
                    stream.enough = true;
                    self.pump_one(place);
                }
                _ if stream.answered => {
                    self.reset_both(place, ErrorCode::Internal, ErrorCode::Cancel);
                }
                _ => self.answer(place, status),
            }
        }
        self.streams.forget_service();
        self.ended_there = Default::default();
    }

    /// What of the service's has taken too long.
    pub(super) fn look_at_service(&mut self) {
        let now = self.now;
        let late = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        let waits = self.timeouts;
        match &self.service {
            Service::Dialling { since, .. } if late(*since, waits.dial) => {
                self.service = Service::Absent;
                self.fail_all(504);
            }
            Service::Open { side, since, .. } if !side.greeted && late(*since, waits.dial) => {
                self.service_failed(Fault::Silent, 504);
            }
            Service::Open { side, .. }
                if side.greeted
                    && side
                        .incomplete_since()
                        .is_some_and(|since| late(since, waits.frame)) =>
            {
                self.service_failed(Fault::Violation(Violation::Slow), 502);
            }
            Service::Open { side, .. }
                if side
                    .stuck_since()
                    .is_some_and(|since| late(since, waits.write)) =>
            {
                self.service_failed(Fault::Stuck, 504);
            }
            _ => {}
        }
    }
}
