//! The life of a client connection, and how it ends.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use ringfence_wire::foreign::Spoken;
use ringfence_wire::http2::frame::setting;
use ringfence_wire::http2::{ErrorCode, HeaderList, Violation, limits as wire};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::budget::Budget;
use super::gate::{Ended, Gate};
use super::limits::{RESETS_AT_ONCE, RESETS_PER_SECOND, STREAM_WINDOW, STREAMS, Timeouts};
use super::recent::Recent;
use super::service::Service;
use super::side::Side;
use super::stream::{Phase, Place, Streams};
use super::turn::Turn;
use crate::whole::Whole;

/// Serves the streams of `client` until one side is done. Says why it ended.
///
/// Dropping the future closes both connections at once.
pub(crate) async fn relay<G: Gate>(client: TcpStream, gate: &G) -> Ended {
    relay_within(client, gate, Timeouts::STANDARD).await
}

pub(super) async fn relay_within<G: Gate>(
    client: TcpStream,
    gate: &G,
    timeouts: Timeouts,
) -> Ended {
    // Before the first check, so that no change falls between the two.
    let mut watch = gate.watch();
    let mut session = Box::new(Session::new(client, gate, timeouts));
    let ended = if gate.may_stay(&mut watch) {
        session.run(&mut watch).await
    } else {
        Ended::Revoked
    };
    if let Ended::Violation(violation) = ended {
        match &session.foreign {
            Some((what, Some(seen))) => gate.refuse_foreign(what, *seen),
            Some((what, None)) => gate.breach(Some(what), violation),
            None => gate.breach(None, violation),
        }
    }
    session.close(ended).await;
    ended
}

pub(super) struct Session<'g, G: Gate> {
    pub(super) gate: &'g G,
    pub(super) client: Side<Whole>,
    /// Bytes of the preface that have come.
    pub(super) preface: usize,
    pub(super) service: Service<'g, G::Upstream>,
    pub(super) streams: Streams<G::Permit, G::Place>,
    /// Streams that are admitted and not with the service yet.
    pub(super) waiting: usize,
    /// Something waits in a stream for a window, or for what stands in line to be written.
    pub(super) backlog: bool,
    /// Which stream comes first when that is looked at.
    pub(super) first: usize,
    /// The latest stream of the client.
    pub(super) last: u32,
    /// The number of the next stream towards the service.
    pub(super) next_up: u32,
    pub(super) ended_here: Recent,
    pub(super) ended_there: Recent,
    pub(super) resets: Budget,
    /// The client begins no more.
    pub(super) client_leaves: bool,
    /// The client has closed its side.
    pub(super) deaf: bool,
    /// The service takes no more, and the client was told. Streams above this number are passed over.
    pub(super) leaving: Option<u32>,
    /// The start of what the client said instead of the preface, and what that is, if it can be told.
    pub(super) foreign: Option<(String, Option<Spoken>)>,
    /// Fields of the block that was decoded last.
    pub(super) list: HeaderList,
    /// What goes on of them.
    pub(super) fields: Vec<u8>,
    /// When requests were whole that are in line to be written.
    pub(super) arrived: Vec<Instant>,
    /// Bytes relayed to the service, and to the client, since last counted.
    pub(super) moved: (u64, u64),
    /// Permits have come that the watch does not know of.
    pub(super) unwatched: bool,
    /// Somebody has been admitted, so the far end is known.
    pub(super) settled: bool,
    pub(super) now: Instant,
    /// Since when no stream is open.
    pub(super) idle_since: Instant,
    pub(super) timeouts: Timeouts,
}

/// Why a session looks up from its frames.
enum Pause {
    Ended(Ended),
    /// Something that decisions rest on has changed.
    Changed,
    /// There is more to watch.
    Unwatched,
}

impl<'g, G: Gate> Session<'g, G> {
    fn new(client: TcpStream, gate: &'g G, timeouts: Timeouts) -> Self {
        let mut client = Side::new(Whole::from(client), gate.memory());
        client.greet(&[
            (setting::MAX_CONCURRENT_STREAMS, STREAMS as u32),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (setting::MAX_HEADER_LIST_SIZE, wire::HEADER_LIST_MAX as u32),
        ]);
        let now = Instant::now();
        Self {
            gate,
            client,
            preface: 0,
            service: Service::Absent,
            streams: Streams::default(),
            waiting: 0,
            backlog: false,
            first: 0,
            last: 0,
            next_up: 1,
            ended_here: Recent::default(),
            ended_there: Recent::default(),
            resets: Budget::new(RESETS_AT_ONCE, RESETS_PER_SECOND),
            client_leaves: false,
            deaf: false,
            leaving: None,
            foreign: None,
            list: HeaderList::default(),
            fields: Vec::new(),
            arrived: Vec::new(),
            moved: (0, 0),
            unwatched: false,
            settled: false,
            now,
            idle_since: now,
            timeouts,
        }
    }

    async fn run(&mut self, watch: &mut G::Watch) -> Ended {
        // Frames are put in line together; waiting for more to send with them only costs time. If it cannot be set,
        // nothing is lost but that time.
        let _ = self.client.io.set_nodelay(true);
        let gate = self.gate;
        let mut timer = pin!(sleep(self.timeouts.tick));
        loop {
            let pause = {
                let mut changed = pin!(gate.changed(watch));
                poll_fn(|cx| {
                    if changed.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Pause::Changed);
                    }
                    let polled = self.poll(cx);
                    let (sent, received) = std::mem::take(&mut self.moved);
                    if sent > 0 || received > 0 {
                        gate.count(sent, received);
                    }
                    if let Poll::Ready(ended) = polled {
                        return Poll::Ready(Pause::Ended(ended));
                    }
                    if std::mem::take(&mut self.unwatched) {
                        return Poll::Ready(Pause::Unwatched);
                    }
                    self.poll_timer(cx, timer.as_mut()).map(Pause::Ended)
                })
                .await
            };
            match pause {
                Pause::Ended(ended) => return ended,
                Pause::Changed | Pause::Unwatched if !gate.may_stay(watch) => {
                    return Ended::Revoked;
                }
                Pause::Changed => self.decide_again(watch),
                Pause::Unwatched => {
                    for stream in self.streams.iter() {
                        if let Some(permit) = stream.phase.permit() {
                            gate.note(watch, permit);
                        }
                    }
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.now = Instant::now();
        let mut turn = Turn::new(self.now);
        loop {
            match self.everything(cx, &mut turn) {
                Err(ended) => return Poll::Ready(ended),
                Ok(false) => break,
                Ok(true) => turn.look(),
            }
            if turn.is_over() {
                // There may be more; others first.
                cx.waker().wake_by_ref();
                break;
            }
        }
        let idle = self.now.saturating_duration_since(self.client.heard) >= self.timeouts.tick;
        self.client.rest(idle);
        if let Service::Open { side, .. } = &mut self.service {
            side.rest(idle);
        }
        Poll::Pending
    }

    /// Everything once; whether anything was done.
    fn everything(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Result<bool, Ended> {
        let mut moved = self.read_client(cx, turn)?;
        moved |= self.poll_service(cx, turn);
        if self.backlog {
            self.pump();
        }
        moved |= self.client.poll_write(cx).map_err(|_| Ended::ClientGone)?;
        moved |= self.write_service(cx);
        match self.streams.is_empty() {
            true if !self.client.is_flushed() => Ok(moved),
            true if self.client_leaves => Err(Ended::Finished),
            true if self.leaving.is_some() => Err(Ended::ServiceLeft),
            _ => Ok(moved),
        }
    }

    /// Looks at what has taken too long, from time to time.
    fn poll_timer(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut tokio::time::Sleep>,
    ) -> Poll<Ended> {
        let soon = tokio::time::Instant::from_std(self.now + self.timeouts.tick);
        if !self.is_at_rest() && timer.deadline() > soon {
            timer.as_mut().reset(soon);
        }
        while timer.as_mut().poll(cx).is_ready() {
            self.now = Instant::now();
            if let Err(ended) = self.look_at_clock() {
                return Poll::Ready(ended);
            }
            let next = match self.is_at_rest() {
                true => self.idle_since + self.timeouts.idle,
                false => self.now + self.timeouts.tick,
            };
            // What was said just now is to be written; and an end that has come is seen at the next look.
            let next = next.max(self.now + self.timeouts.tick / 8);
            timer.as_mut().reset(tokio::time::Instant::from_std(next));
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Nothing can be late but the next stream.
    fn is_at_rest(&self) -> bool {
        self.streams.is_empty()
            && self.client.incomplete_since().is_none()
            && self.client.stuck_since().is_none()
            && matches!(self.service, Service::Absent | Service::Open { .. })
    }

    fn look_at_clock(&mut self) -> Result<(), Ended> {
        let now = self.now;
        let late = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        let waits = self.timeouts;
        // What was not read for want of room elsewhere is not the client's fault.
        if !self.is_clogged() && late(self.client.incomplete_since(), waits.frame) {
            return Err(Ended::Violation(Violation::Slow));
        }
        if late(self.client.stuck_since(), waits.write) {
            return Err(Ended::Stalled);
        }
        if self.streams.is_empty() && late(Some(self.idle_since), waits.idle) {
            return Err(Ended::Idle);
        }
        self.look_at_service();
        for place in self.streams.all() {
            let Some(stream) = self.streams.get_mut(place) else {
                continue;
            };
            let pending = stream.there.is_pending() || stream.back.is_pending();
            match &stream.phase {
                Phase::Early(early) if late(Some(early.since), waits.early) => {
                    let reason = "request body not complete in time";
                    self.gate.refuse_malformed(&early.what, reason);
                    self.answer(place, 408);
                }
                Phase::Open { .. } if pending && late(Some(stream.touched), waits.window) => {
                    self.give_up(place);
                }
                Phase::Waiting { .. } if late(Some(stream.touched), waits.window) => {
                    self.give_up(place);
                }
                _ if late(Some(stream.touched), waits.stream) => self.give_up(place),
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends a stream on which nothing has moved for too long.
    fn give_up(&mut self, place: Place) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if stream.answered {
            self.reset_both(place, ErrorCode::Cancel, ErrorCode::Cancel);
        } else {
            self.answer(place, 504);
        }
    }

    /// Asks about every stream again, and cuts those that may not go on, all of them at once.
    fn decide_again(&mut self, watch: &mut G::Watch) {
        for place in self.streams.all() {
            let Some(stream) = self.streams.get_mut(place) else {
                continue;
            };
            let Some(permit) = stream.phase.permit() else {
                continue;
            };
            if self.gate.may_go_on(watch, permit) {
                continue;
            }
            if self.gate.is_grpc() && !stream.answered {
                self.answer(place, 403);
            } else {
                self.reset_both(place, ErrorCode::Cancel, ErrorCode::Cancel);
            }
        }
    }

    async fn close(&mut self, ended: Ended) {
        self.service = Service::Absent;
        let code = match ended {
            Ended::Violation(violation) => violation.code(),
            Ended::Idle | Ended::ServiceLeft => ErrorCode::NoError,
            // There is nobody to tell.
            Ended::Finished => return,
            // What was begun must not look complete. If it cannot be set, the client has gone already.
            Ended::ClientGone | Ended::Stalled | Ended::Revoked => {
                return drop(self.client.io.set_zero_linger());
            }
        };
        self.client.goaway(self.last, code);
        // Whichever way this ends, the connection is closed next.
        let _ = timeout(self.timeouts.linger, self.linger()).await;
    }

    /// Writes what waits, closes our side, and drops what still comes until the client has closed its own.
    async fn linger(&mut self) -> std::io::Result<()> {
        poll_fn(|cx| match self.client.poll_write(cx) {
            Err(cause) => Poll::Ready(Err(cause)),
            Ok(_) if self.client.is_flushed() => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
        })
        .await?;
        self.client.io.shutdown().await?;
        loop {
            // Who floods goes on doing so.
            let mut turn = Turn::new(Instant::now());
            while !turn.is_over() {
                let here = self.client.inbound.unread().len();
                self.client.inbound.consume(here);
                match self.client.inbound.fill(&mut self.client.io).await? {
                    0 => return Ok(()),
                    count => turn.spend(1 + count / 1024),
                }
            }
            others_first().await;
        }
    }
}

/// Gives others their turn.
async fn others_first() {
    let mut had = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
