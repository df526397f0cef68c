//! Bodies and windows: what came from one side goes on to the other as far as that takes it, and only what was taken on
//! is given back to the one that sent it.

use std::time::Instant;

use ringfence_wire::http2::{ErrorCode, read_request};
use tokio::io::{AsyncRead, AsyncWrite};

use super::gate::Gate;
use super::judge;
use super::limits::STREAM_WINDOW;
use super::recent::How;
use super::service::Service;
use super::session::Session;
use super::side::Side;
use super::stream::{End, Head, Phase, Place, Way};

/// What one pass has moved.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    /// Bytes of data taken out of the queue that are owed to their writer.
    owed: u32,
    /// Bytes put in line, with all that surrounds them.
    wire: u64,
}

/// Puts in line what `to` takes of what is queued in `way`, and its end behind that.
fn forward<S>(way: &mut Way, to: &mut Side<S>, number: u32) -> Moved
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut moved = Moved::default();
    loop {
        let queued = way.queued();
        let window = usize::try_from(way.window).unwrap_or(0);
        let count = queued.len().min(to.takes()).min(window);
        let Some(data) = queued.get(..count).filter(|data| !data.is_empty()) else {
            break;
        };
        let last = count == queued.len() && way.end == End::Due(None);
        moved.wire += to.data(number, data, last);
        moved.owed += way.taken(count);
        if last {
            way.end = End::Sent;
        }
    }
    if way.queued().is_empty()
        && let End::Due(trailers) = &mut way.end
    {
        moved.wire += match trailers.take() {
            Some(block) => to.headers(number, &block, true),
            None => to.data(number, &[], true),
        };
        way.ended();
    }
    moved
}

/// Puts `data`, which has just come, in line, or in the queue.
fn carry<S>(way: &mut Way, to: &mut Side<S>, number: u32, data: &[u8]) -> Moved
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let fits = data.len() <= to.takes() && data.len() as i64 <= way.window;
    if data.is_empty() || !way.queued().is_empty() || !fits {
        way.push(data);
        return Moved::default();
    }
    let last = way.end == End::Due(None);
    let wire = to.data(number, data, last);
    way.window -= data.len() as i64;
    if last {
        way.end = End::Sent;
    }
    Moved {
        owed: data.len() as u32,
        wire,
    }
}

impl<G: Gate> Session<'_, G> {
    /// Sends data of the client's on, or keeps it.
    pub(super) fn carry_there(&mut self, place: Place, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        let moved = match &mut self.service {
            Service::Open { side, .. } if stream.up != 0 => {
                carry(&mut stream.there, side, stream.up, data)
            }
            _ => {
                stream.there.push(data);
                return;
            }
        };
        self.backlog |= stream.there.is_pending();
        self.moved.0 += moved.wire;
        self.credit_client(place, moved.owed);
    }

    /// Sends data of the service's back, or keeps it.
    pub(super) fn carry_back(&mut self, place: Place, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        let moved = carry(&mut stream.back, &mut self.client, stream.id, data);
        self.backlog |= stream.back.is_pending();
        self.moved.1 += moved.wire;
        self.credit_service(place, moved.owed);
    }

    /// Everything that waits for a window, or for what stands in line.
    pub(super) fn pump(&mut self) {
        self.backlog = false;
        let mut places = self.streams.all();
        if !places.is_empty() {
            // Who comes first finds the most room.
            self.first = (self.first + 1) % places.len();
            places.rotate_left(self.first);
        }
        for place in places {
            self.pump_one(place);
        }
    }

    /// The same for one stream; ends it when both sides have ended.
    pub(super) fn pump_one(&mut self, place: Place) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        let there = match &mut self.service {
            Service::Open { side, .. } if stream.up != 0 && !stream.enough => {
                forward(&mut stream.there, side, stream.up)
            }
            _ => Moved::default(),
        };
        let back = match stream.answered {
            true => forward(&mut stream.back, &mut self.client, stream.id),
            false => Moved::default(),
        };
        if there.wire + back.wire > 0 {
            stream.touched = self.now;
        }
        let there_waits = stream.up != 0 && !stream.enough && stream.there.is_pending();
        let back_waits = stream.answered && stream.back.is_pending();
        self.backlog |= there_waits || back_waits;
        self.moved.0 += there.wire;
        self.moved.1 += back.wire;
        self.credit_client(place, there.owed);
        self.credit_service(place, back.owed);
        self.finish(place);
    }

    /// Ends a stream of which nothing is left to come.
    pub(super) fn finish(&mut self, place: Place) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if stream.back.end != End::Sent {
            return;
        }
        if stream.there.end == End::Sent {
            self.remove(place, How::ByPeer, None);
        } else if stream.enough {
            let (id, ended) = (stream.id, stream.there.end != End::Open);
            if ended {
                self.remove(place, How::ByPeer, None);
            } else {
                self.client.reset(id, ErrorCode::NoError);
                self.remove(place, How::ByUs, None);
            }
        }
    }

    /// `count` bytes of a stream's request are held no longer.
    pub(super) fn credit_client(&mut self, place: Place, count: u32) {
        if count == 0 {
            return;
        }
        self.client.give_back(count);
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if let Some(more) = stream.there.owe(count) {
            self.client.give_back_on(stream.id, more);
        }
    }

    /// `count` bytes of a stream's answer are held no longer.
    pub(super) fn credit_service(&mut self, place: Place, count: u32) {
        let Service::Open { side, .. } = &mut self.service else {
            return;
        };
        if count == 0 {
            return;
        }
        side.give_back(count);
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if let Some(more) = stream.back.owe(count) {
            side.give_back_on(stream.up, more);
        }
    }

    /// Sends the head of a request, which is written, to the service.
    pub(super) fn send_head(&mut self, place: Place, arrived: Instant) {
        let up = self.next_up;
        self.streams.send_as(place, up);
        let (Service::Open { side, .. }, Some(stream)) =
            (&mut self.service, self.streams.get_mut(place))
        else {
            return;
        };
        self.next_up += 2;
        stream.there.window = side.stream_window;
        let last = stream.there.queued().is_empty() && stream.there.end == End::Due(None);
        self.moved.0 += side.headers(up, &self.fields, last);
        if last {
            stream.there.end = End::Sent;
        }
        self.arrived.push(arrived);
        self.backlog |= stream.there.is_pending();
    }

    /// Sends the heads of those that wait, as far as the service has room for them.
    pub(super) fn send_waiting(&mut self) {
        if self.waiting == 0 {
            return;
        }
        for place in self.streams.all() {
            if !self.has_room() {
                return;
            }
            let Some(stream) = self.streams.get_mut(place) else {
                continue;
            };
            let phase = match std::mem::replace(&mut stream.phase, Phase::Gone) {
                Phase::Waiting { permit, head } => {
                    self.waiting -= 1;
                    self.fields.clear();
                    let Head {
                        mut list,
                        path,
                        expect_continue,
                        arrived,
                        loan: _given_back,
                    } = *head;
                    let (gate, out) = (self.gate, &mut self.fields);
                    let written = read_request(&mut list, false).and_then(|request| {
                        judge::write(gate, &request, &path, expect_continue, out)
                    });
                    stream.phase = Phase::Open { permit };
                    match written {
                        Ok(()) => self.send_head(place, arrived),
                        // It was sound before; only the name of the service has changed.
                        Err(_) => self.answer(place, 503),
                    }
                    continue;
                }
                other => other,
            };
            stream.phase = phase;
        }
    }

    /// Ends a stream before its time.
    pub(super) fn reset_both(&mut self, place: Place, here: ErrorCode, there: ErrorCode) {
        if let Some(stream) = self.streams.get_mut(place) {
            self.client.reset(stream.id, here);
            self.remove(place, How::ByUs, Some(there));
        }
    }

    /// Forgets a stream. `how` it ended for the client. `there`: the service is told, if it has a part of it.
    pub(super) fn remove(&mut self, place: Place, how: How, there: Option<ErrorCode>) {
        let Some(stream) = self.streams.remove(place) else {
            return;
        };
        let how = match stream.there.end {
            End::Open => how,
            End::Due(_) | End::Sent => How::ByPeer,
        };
        self.ended_here.remember(stream.id, how);
        if matches!(stream.phase, Phase::Waiting { .. }) {
            self.waiting -= 1;
        }
        // What it held counts against nobody any more.
        self.client.give_back(stream.there.held());
        if let Service::Open { side, .. } = &mut self.service {
            side.give_back(stream.back.held());
            if stream.up != 0 {
                if let Some(code) = there {
                    side.reset(stream.up, code);
                }
                let how = match stream.back.end {
                    End::Open => How::ByUs,
                    _ => How::ByPeer,
                };
                self.ended_there.remember(stream.up, how);
            }
        }
        self.rested();
        self.send_waiting();
    }
}

impl Way {
    /// Adds to what is owed to the writer; gives how much its window is to be opened, once it is worth a frame.
    fn owe(&mut self, count: u32) -> Option<u32> {
        self.owed += count;
        if self.owed < STREAM_WINDOW / 2 || self.end != End::Open {
            return None;
        }
        let more = std::mem::take(&mut self.owed);
        self.room += i64::from(more);
        Some(more)
    }
}
