//! Frames of the client.

use std::task::{Context, Poll};
use std::time::Instant;

use ringfence_model::CanonicalPath;
use ringfence_wire::foreign::spoken;
use ringfence_wire::http2::{
    Block, ErrorCode, Frame, PREFACE, Settings, Violation, read_frame, read_trailers, write_own,
};

use super::answer::{self, Answer};
use super::gate::{Ended, Gate};
use super::judge::{Judged, Outline, judge};
use super::limits::BLOCK_IN_TURN;
use super::recent::How;
use super::session::Session;
use super::side::within;
use super::stream::{Early, End, Head, Phase, Place, Stream, Way};
use super::turn::Turn;
use crate::http::{EARLY_MAX, Said, first_line};
use crate::memory::Loan;

impl<G: Gate> Session<'_, G> {
    /// Reads as long as there is something to read and room for what comes of it; whether there was.
    pub(super) fn read_client(
        &mut self,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Result<bool, Ended> {
        let mut moved = false;
        while !self.deaf {
            moved |= self.take_client(turn).map_err(Ended::Violation)?;
            if turn.is_over() || self.is_clogged() {
                return Ok(moved);
            }
            let begins = self.client.inbound.is_empty();
            // Between two frames nothing has to be there, and asking costs a call.
            if begins && self.client.io.poll_read_ready(cx).is_pending() {
                return Ok(moved);
            }
            match self.client.inbound.poll_fill(cx, &mut self.client.io) {
                Poll::Pending => return Ok(moved),
                Poll::Ready(Ok(count @ 1..)) => {
                    moved = true;
                    if begins {
                        self.client.heard = self.now;
                    }
                    turn.spend(count / 1024);
                }
                Poll::Ready(Ok(0)) if self.streams.is_empty() => {
                    // What waits to be written is written first.
                    self.client_leaves = true;
                    self.deaf = true;
                    return Ok(moved);
                }
                Poll::Ready(Ok(_) | Err(_)) => return Err(Ended::ClientGone),
            }
        }
        Ok(moved)
    }

    /// So much waits to be written that a frame might add to it without bound.
    pub(super) fn is_clogged(&self) -> bool {
        self.client.is_clogged() || self.service.is_clogged()
    }

    /// Handles the whole frames that have come; whether there were any.
    fn take_client(&mut self, turn: &mut Turn) -> Result<bool, Violation> {
        let inbound = std::mem::take(&mut self.client.inbound);
        let mut taken = 0;
        let result = self.take_frames(inbound.unread(), &mut taken, turn);
        self.client.inbound = inbound;
        self.client.inbound.consume(taken);
        if taken > 0 {
            self.client.heard = self.now;
        }
        result.map(|()| taken > 0)
    }

    fn take_frames(
        &mut self,
        bytes: &[u8],
        taken: &mut usize,
        turn: &mut Turn,
    ) -> Result<(), Violation> {
        if self.preface < PREFACE.len() {
            let due = PREFACE.get(self.preface..).unwrap_or_default();
            let here = bytes.len().min(due.len());
            if bytes.get(..here) != due.get(..here) {
                self.foreign = Some((first_line(bytes), spoken(bytes)));
                return Err(Violation::Preface);
            }
            self.preface += here;
            *taken = here;
        }
        while !turn.is_over() && !self.is_clogged() {
            let rest = bytes.get(*taken..).unwrap_or_default();
            let Some((frame, length)) = read_frame(rest)? else {
                return Ok(());
            };
            *taken += length;
            let weight = weight(&frame);
            self.client_frame(frame)?;
            turn.spend(weight);
        }
        Ok(())
    }

    fn client_frame(&mut self, frame: Frame<'_>) -> Result<(), Violation> {
        if self.client.block.is_some() {
            return match frame {
                Frame::Continuation {
                    stream,
                    fragment,
                    whole,
                } => self.client_continues(stream, fragment, whole),
                _ => Err(Violation::Interrupted),
            };
        }
        if !self.client.greeted && !matches!(frame, Frame::Settings(_)) {
            return Err(Violation::Preface);
        }
        match frame {
            Frame::Data {
                stream,
                data,
                weight,
                end,
            } => self.client_data(stream, data, weight, end),
            Frame::Headers {
                stream,
                fragment,
                end,
                whole: true,
            } => self.client_block(stream, fragment, end),
            Frame::Headers {
                stream,
                fragment,
                end,
                whole: false,
            } => {
                let block = Block::begin(stream, end, fragment);
                self.client.block = Some((block, self.now));
                Ok(())
            }
            Frame::Continuation { .. } => Err(Violation::Interrupted),
            Frame::Reset { stream, code } => self.client_resets(stream, ErrorCode::of(code)),
            Frame::Settings(settings) => self.client_settles(settings),
            Frame::Ping(opaque) => {
                self.client.spend()?;
                self.client.pong(opaque);
                Ok(())
            }
            Frame::GoAway { .. } => {
                self.client_leaves = true;
                self.client.spend()
            }
            Frame::Window { stream: 0, more } => {
                self.client.spend()?;
                self.backlog = true;
                self.client.open(more)
            }
            Frame::Window { stream, more } => {
                self.client.spend()?;
                self.client_opens(stream, more)
            }
            Frame::Priority | Frame::SettingsAck | Frame::Pong | Frame::Unknown => {
                self.client.spend()
            }
        }
    }

    /// The window of one stream; too far open, it costs that stream alone (RFC 9113, 6.9.1).
    fn client_opens(&mut self, id: u32, more: u32) -> Result<(), Violation> {
        let Some(place) = self.streams.by_id(id) else {
            return self.must_have_begun(id);
        };
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        stream.back.window += i64::from(more);
        self.backlog = true;
        if let Err(too_large) = within(stream.back.window) {
            self.gate
                .refuse_malformed("window of a stream", &too_large.to_string());
            self.reset_both(place, too_large.code(), ErrorCode::Cancel);
            self.resets_one_more()?;
        }
        Ok(())
    }

    /// Frames on a stream that was never begun are a breach; on one that has ended some may cross.
    fn must_have_begun(&self, stream: u32) -> Result<(), Violation> {
        match stream % 2 == 1 && stream <= self.last {
            true => Ok(()),
            false => Err(Violation::Idle),
        }
    }

    fn client_settles(&mut self, settings: Settings) -> Result<(), Violation> {
        self.client.spend()?;
        let change = self.client.settle(settings);
        for stream in self.streams.iter_mut() {
            stream.back.window += change;
            within(stream.back.window)?;
        }
        self.backlog = true;
        Ok(())
    }

    fn client_resets(&mut self, id: u32, code: ErrorCode) -> Result<(), Violation> {
        let Some(place) = self.streams.by_id(id) else {
            self.must_have_begun(id)?;
            return self.client.spend();
        };
        let stream = self.streams.get_mut(place);
        if stream.is_some_and(|stream| stream.back.end != End::Sent) {
            self.resets_one_more()?;
        }
        self.remove(place, How::ByPeer, Some(code));
        Ok(())
    }

    /// A stream of the client's was reset by its word or for its fault.
    fn resets_one_more(&mut self) -> Result<(), Violation> {
        match self.resets.spend() {
            true => Ok(()),
            false => Err(Violation::RapidReset),
        }
    }

    fn client_continues(
        &mut self,
        stream: u32,
        fragment: &[u8],
        whole: bool,
    ) -> Result<(), Violation> {
        let Some((mut block, since)) = self.client.block.take() else {
            return Err(Violation::Interrupted);
        };
        block.extend(stream, fragment)?;
        if whole {
            return self.client_block(block.stream, block.bytes(), block.end);
        }
        self.client.block = Some((block, since));
        Ok(())
    }

    /// A whole header block.
    fn client_block(&mut self, id: u32, block: &[u8], end: bool) -> Result<(), Violation> {
        if id.is_multiple_of(2) {
            return Err(Violation::StreamId);
        }
        self.list.clear();
        self.client.decoder.decode(block, &mut self.list)?;
        if let Some(place) = self.streams.by_id(id) {
            return self.client_trailers(place, end);
        }
        if id <= self.last {
            return match self.ended_here.how(id) {
                Some(How::ByUs) => self.client.spend(),
                Some(How::ByPeer) => Err(Violation::Closed),
                None => Err(Violation::Idle),
            };
        }
        self.last = id;
        if self.leaving.is_some() {
            // It crossed our GOAWAY: the client knows that nothing of it was looked at.
            self.ended_here.remember(id, How::ByUs);
            return self.client.spend();
        }
        if self.streams.is_full() {
            let reason = "more streams at a time than one connection may have";
            self.gate.over_bound("stream", reason);
            self.client.reset(id, ErrorCode::RefusedStream);
            self.ended_here.remember(id, How::ByUs);
            return self.resets_one_more();
        }
        let loan = match self.has_room() {
            true => None,
            false => Some(self.gate.memory().lend(self.list.memory())),
        };
        if let Some(None) = loan {
            self.gate.out_of_memory("stream");
            self.client.reset(id, ErrorCode::RefusedStream);
            self.ended_here.remember(id, How::ByUs);
            return self.resets_one_more();
        }
        self.arrives(id, end, loan.flatten())
    }

    /// A stream begins, with what is in the list. `loan` is for keeping that, where the service has no room.
    fn arrives(&mut self, id: u32, ended: bool, loan: Option<Loan>) -> Result<(), Violation> {
        let arrived = Instant::now();
        let mut held = None;
        self.fields.clear();
        let judged = judge(
            self.gate,
            &mut self.list,
            ended,
            None,
            &mut held,
            &mut self.fields,
        );
        match judged {
            Judged::Malformed => {
                self.client.reset(id, ErrorCode::Protocol);
                self.ended_here.remember(id, How::ByUs);
                return self.resets_one_more();
            }
            Judged::Refused {
                status,
                to_head,
                is_call,
            } => {
                let window = self.client.stream_window;
                self.say(id, &own(status, to_head, is_call), window);
                self.dismiss(id, ended);
            }
            Judged::BodyFirst { outline, what } => {
                let early = Early {
                    list: std::mem::take(&mut self.list),
                    held,
                    loan,
                    what,
                    since: self.now,
                };
                let phase = Phase::Early(Box::new(early));
                self.enter(id, phase, outline, ended);
                if outline.expect_continue {
                    // The service cannot give leave to send what it is not to see yet.
                    let mut fields = Vec::new();
                    write_own(100, &[], &mut fields);
                    self.client.headers(id, &fields, false);
                }
            }
            Judged::Admitted {
                permit,
                path,
                outline,
            } => {
                if let Some(loan) = loan {
                    let phase = self.postpone(permit, path, outline, arrived, loan);
                    let place = self.enter(id, phase, outline, ended);
                    self.wait(place);
                } else {
                    let trailers = !self.gate.saw_fields(&permit);
                    let place = self.enter(id, Phase::Open { permit }, outline, ended);
                    self.admitted(place, trailers);
                    self.send_head(place, arrived);
                }
            }
        }
        Ok(())
    }

    /// Takes the list away, to write it again when the service has room.
    fn postpone(
        &mut self,
        permit: G::Permit,
        path: CanonicalPath,
        outline: Outline,
        arrived: Instant,
        loan: Loan,
    ) -> Phase<G::Permit, G::Place> {
        let head = Head {
            list: std::mem::take(&mut self.list),
            path,
            expect_continue: outline.expect_continue,
            arrived,
            loan,
        };
        Phase::Waiting {
            permit,
            head: Box::new(head),
        }
    }

    fn wait(&mut self, place: Place) {
        self.waiting += 1;
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if let Some(permit) = stream.phase.permit() {
            let trailers = !self.gate.saw_fields(permit);
            self.admitted(place, trailers);
        }
        self.call_service();
    }

    /// What follows from every permit.
    fn admitted(&mut self, place: Place, trailers: bool) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        stream.trailers = trailers;
        if !trailers && let End::Due(block) = &mut stream.there.end {
            // They came with a body that was read early.
            *block = None;
        }
        let permit = stream.phase.permit();
        let has_time = permit.is_some_and(|permit| self.gate.has_time(permit));
        self.unwatched |= has_time || !self.settled;
        self.settled = true;
    }

    fn enter(
        &mut self,
        id: u32,
        phase: Phase<G::Permit, G::Place>,
        outline: Outline,
        ended: bool,
    ) -> Place {
        let mut there = Way::new(self.service.stream_window(), outline.length);
        if ended {
            there.end = End::Due(None);
        }
        self.streams.enter(Stream {
            id,
            up: 0,
            phase,
            there,
            back: Way::new(self.client.stream_window, None),
            to_head: outline.to_head,
            answered: false,
            interims: 0,
            trailers: true,
            enough: false,
            touched: self.now,
        })
    }

    /// The second header block of a request.
    fn client_trailers(&mut self, place: Place, end: bool) -> Result<(), Violation> {
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        if stream.there.end != End::Open {
            return Err(Violation::Closed);
        }
        if !end {
            return Err(Violation::Trailers);
        }
        let trailers = match read_trailers(&self.list) {
            Ok(trailers) if stream.there.measure(0, true) => trailers,
            Ok(_) => {
                return self.malformed(place, "body shorter than its content-length");
            }
            Err(refusal) => return self.malformed(place, &refusal.to_string()),
        };
        let mut block = Vec::new();
        trailers.write(&mut block);
        let goes_on = stream.trailers && !trailers.is_empty();
        let (trailers, waits) = (goes_on.then(|| block.into()), stream.up == 0);
        if !stream.there.ends_with(trailers, waits, self.gate.memory()) {
            self.gate.out_of_memory("trailers");
            self.reset_both(place, ErrorCode::EnhanceYourCalm, ErrorCode::Cancel);
            return self.resets_one_more();
        }
        stream.touched = self.now;
        self.moves_on(place);
        Ok(())
    }

    fn client_data(
        &mut self,
        id: u32,
        data: &[u8],
        weight: u32,
        end: bool,
    ) -> Result<(), Violation> {
        self.client.take(weight)?;
        if data.is_empty() && !end {
            self.client.spend()?;
        }
        let Some(place) = self.streams.by_id(id) else {
            self.must_have_begun(id)?;
            return match self.ended_here.data(id, weight) {
                Some(How::ByUs) => {
                    self.client.give_back(weight);
                    Ok(())
                }
                Some(How::ByPeer) | None => Err(Violation::Closed),
            };
        };
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        stream.there.arrive(weight)?;
        stream.touched = self.now;
        if !stream.there.measure(data.len(), end) {
            return self.malformed(place, "body longer or shorter than its content-length");
        }
        if end {
            stream.there.end = End::Due(None);
        }
        let early = matches!(stream.phase, Phase::Early(_));
        let padding = weight - data.len() as u32;
        if early || stream.enough {
            // What is read early is bounded by itself.
            if early {
                stream.there.push_prepaid(data);
            }
            self.credit_client(place, weight);
        } else {
            self.credit_client(place, padding);
            self.carry_there(place, data);
        }
        self.moves_on(place);
        Ok(())
    }

    /// More of a request has come, or its end.
    fn moves_on(&mut self, place: Place) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        match &stream.phase {
            Phase::Early(_) => {
                let too_long = stream.there.queued().len() > EARLY_MAX;
                if too_long || stream.there.end != End::Open {
                    self.judge_early(place, too_long);
                }
            }
            Phase::Waiting { .. } | Phase::Gone => {}
            Phase::Open { .. } => self.pump_one(place),
        }
    }

    /// Decides a stream whose body was asked for.
    fn judge_early(&mut self, place: Place, too_long: bool) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        let id = stream.id;
        let Phase::Early(early) = &mut stream.phase else {
            return;
        };
        let arrived = Instant::now();
        let body = match too_long {
            true => Said::TooLong,
            false => Said::Whole(stream.there.queued()),
        };
        self.fields.clear();
        let judged = judge(
            self.gate,
            &mut early.list,
            false,
            Some(body),
            &mut early.held,
            &mut self.fields,
        );
        match judged {
            Judged::Admitted {
                permit,
                path,
                outline,
            } => {
                // A list in use takes the place of the one that was kept.
                std::mem::swap(&mut self.list, &mut early.list);
                let loan = early.loan.take();
                stream.touched = self.now;
                stream.there.window = self.service.stream_window();
                if self.has_room() {
                    let trailers = !self.gate.saw_fields(&permit);
                    if let Some(stream) = self.streams.get_mut(place) {
                        stream.phase = Phase::Open { permit };
                    }
                    self.admitted(place, trailers);
                    self.send_head(place, arrived);
                } else {
                    let loan = loan.or_else(|| self.gate.memory().lend(self.list.memory()));
                    let Some(loan) = loan else {
                        self.gate.out_of_memory("stream");
                        return self.answer(place, 503);
                    };
                    let phase = self.postpone(permit, path, outline, arrived, loan);
                    if let Some(stream) = self.streams.get_mut(place) {
                        stream.phase = phase;
                    }
                    self.wait(place);
                }
            }
            Judged::Refused {
                status,
                to_head,
                is_call,
            } => {
                let window = stream.back.window;
                let ended = stream.there.end != End::Open;
                self.streams.remove(place);
                self.say(id, &own(status, to_head, is_call), window);
                self.dismiss(id, ended);
            }
            // It was sound before, and its body is there.
            Judged::Malformed | Judged::BodyFirst { .. } => self.answer(place, 503),
        }
    }

    /// A message of the client breaks the rules for messages.
    fn malformed(&mut self, place: Place, reason: &str) -> Result<(), Violation> {
        self.gate.refuse_malformed("request body", reason);
        self.reset_both(place, ErrorCode::Protocol, ErrorCode::Cancel);
        self.resets_one_more()
    }

    /// Answers a stream that lives, of which the client has seen nothing, and ends it.
    pub(super) fn answer(&mut self, place: Place, status: u16) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        let (id, to_head, window) = (stream.id, stream.to_head, stream.back.window);
        let ended = stream.there.end != End::Open;
        self.remove(place, How::ByUs, Some(ErrorCode::Cancel));
        self.say(id, &own(status, to_head, self.gate.is_grpc()), window);
        if !ended {
            self.client.reset(id, ErrorCode::NoError);
        }
    }

    /// Says the whole of an answer of ours.
    fn say(&mut self, id: u32, answer: &Answer, window: i64) {
        let body = answer.body.as_bytes();
        // A body that has to wait for a window is not worth it.
        let fits = self.client.takes() >= body.len() && window >= body.len() as i64;
        let with_body = fits && !body.is_empty();
        self.client.headers(id, &answer.fields, !with_body);
        if with_body {
            self.client.data(id, body, true);
        }
    }

    /// Ends a stream that was answered and never entered.
    fn dismiss(&mut self, id: u32, ended: bool) {
        if !ended {
            self.client.reset(id, ErrorCode::NoError);
        }
        let how = if ended { How::ByPeer } else { How::ByUs };
        self.ended_here.remember(id, how);
        self.rested();
    }

    /// Notes when the last stream ends.
    pub(super) fn rested(&mut self) {
        if self.streams.is_empty() {
            self.idle_since = self.now;
        }
    }
}

/// What a frame counts in a turn.
pub(super) fn weight(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Headers { fragment, .. } | Frame::Continuation { fragment, .. } => {
            BLOCK_IN_TURN + fragment.len() / 64
        }
        _ => 1,
    }
}

fn own(status: u16, to_head: bool, is_call: bool) -> Answer {
    match is_call {
        true => answer::of_call(status),
        false => answer::plain(status, !to_head),
    }
}
