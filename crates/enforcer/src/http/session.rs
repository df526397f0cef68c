//! The life of a client connection: one request after another, and how it ends.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use ringfence_model::operation::WEBSOCKET;
use ringfence_wire::foreign::{Spoken, spoken};
use ringfence_wire::http1::{Scanner, replace_authority};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::alarm::Alarm;
use super::answer::answer;
use super::buffer::Buffer;
use super::early::Early;
use super::exchange::{Ends, Fault, Outcome, exchange};
use super::gate::{Ended, Gate};
use super::judge::{Judged, Outline, Start, judge, unreadable};
use super::limits::Timeouts;
use crate::whole::Whole;

/// Leave to send the body (RFC 9110, 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Serves every request that arrives on `client`, until one side is done. Says why it ended.
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
    let mut session = Session {
        gate,
        client: client.into(),
        inbound: Buffer::default(),
        upstream: None,
        timeouts,
        alarm: Alarm::at(Instant::now() + timeouts.idle),
        arrived: std::time::Instant::now(),
    };
    let end = session.run().await;
    session.close(end.close).await;
    end.ended
}

struct Session<'g, G: Gate> {
    gate: &'g G,
    client: Whole,
    /// Read from the client and not yet dealt with.
    inbound: Buffer,
    /// Kept from one request to the next. Never shared with another client connection.
    upstream: Option<G::Upstream>,
    timeouts: Timeouts,
    /// For all that it waits for in turn.
    alarm: Alarm,
    /// When the head of the present request was complete.
    arrived: std::time::Instant,
}

/// Why, and how, a connection ends.
#[derive(Clone, Copy, Debug)]
struct End {
    ended: Ended,
    close: Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// Nothing is under way.
    Plain,
    /// An answer may still be under way: let it arrive before the connection goes.
    Linger,
    /// What was begun must not look complete.
    Reset,
}

/// The end of a session, for `?`.
fn end<T>(ended: Ended, close: Close) -> Result<T, End> {
    Err(End { ended, close })
}

impl<G: Gate> Session<'_, G> {
    async fn run(&mut self) -> End {
        // Answers are written whole; waiting for more to send with them only costs time. If it cannot be set, nothing
        // is lost but that time.
        let _ = self.client.set_nodelay(true);
        loop {
            if let Err(end) = self.one_request().await {
                return end;
            }
            if !self.inbound.is_empty() {
                // The next request is here already, and so may be hundreds: others first.
                tokio::task::yield_now().await;
            }
        }
    }

    async fn one_request(&mut self) -> Result<(), End> {
        self.wait().await?;
        match self.read_head().await? {
            Judged::Malformed { status } => {
                self.say(status, false, true).await?;
                end(Ended::Malformed, Close::Linger)
            }
            Judged::Refused { status, outline } => self.refuse(status, outline).await,
            Judged::Admitted {
                permit,
                outline,
                start,
            } => self.serve(permit, outline, start).await,
            // `read_head` reads it.
            Judged::BodyFirst { outline, .. } => self.refuse(503, outline).await,
        }
    }

    /// Waits for the first byte of a request, holding no buffer.
    async fn wait(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + self.timeouts.idle;
        while self.inbound.is_empty() {
            self.inbound.release();
            let Self {
                gate,
                client,
                inbound,
                upstream,
                alarm,
                ..
            } = self;
            tokio::select! {
                biased;
                () = gate.revoked(None) => return end(Ended::Revoked, Close::Reset),
                filled = fill_when_readable(inbound, client) => match filled {
                    Ok(0) => return end(Ended::Finished, Close::Plain),
                    Ok(_) => {}
                    Err(_) => return end(Ended::ClientGone, Close::Plain),
                },
                () = until_touched(upstream) => self.upstream = None,
                () = alarm.until(deadline) => return end(Ended::Idle, Close::Plain),
            }
        }
        Ok(())
    }

    /// Reads one head and has it judged.
    async fn read_head(&mut self) -> Result<Judged<G::Permit>, End> {
        // Most heads are here whole.
        let mut deadline = None;
        let mut scanner = Scanner::new();
        loop {
            match scanner.find(self.inbound.unread()) {
                Ok(Some(scanned)) => {
                    self.arrived = std::time::Instant::now();
                    let length = scanned.len();
                    let judged = judge(self.gate, scanned, self.inbound.unread(), None);
                    if let Judged::BodyFirst { outline, what } = judged {
                        let head = self.inbound.split(length);
                        // On the heap: most connections never come here, and none should be larger for it.
                        return Box::pin(self.read_body(&head, outline, what)).await;
                    }
                    self.inbound.consume(length);
                    return Ok(judged);
                }
                // Whoever expects another protocol may wait for an answer before it has sent anything like a head.
                Ok(None) if spoken(self.inbound.unread()) == Some(Spoken::Ssh) => {
                    self.malformed("no request");
                    return Ok(Judged::Malformed { status: 400 });
                }
                Ok(None) => {}
                Err(refusal) => {
                    self.malformed(&refusal.to_string());
                    return Ok(Judged::Malformed {
                        status: refusal.status(),
                    });
                }
            }
            let head = self.timeouts.head;
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + head);
            let Self {
                gate,
                client,
                inbound,
                alarm,
                ..
            } = self;
            tokio::select! {
                biased;
                () = gate.revoked(None) => return end(Ended::Revoked, Close::Reset),
                filled = inbound.fill(client) => {
                    if !matches!(filled, Ok(1..)) {
                        self.malformed("request head cut short");
                        return end(Ended::ClientGone, Close::Plain);
                    }
                }
                () = alarm.until(deadline) => {
                    self.malformed("request head not complete in time");
                    self.say(408, false, true).await?;
                    return end(Ended::HeadTimeout, Close::Linger);
                }
            }
        }
    }

    /// Reads the body behind `head`, as much of it as can be judged, and has both judged. Whoever is slow about it
    /// keeps nobody but itself.
    async fn read_body(
        &mut self,
        head: &[u8],
        outline: Outline,
        what: String,
    ) -> Result<Judged<G::Permit>, End> {
        let deadline = Instant::now() + self.timeouts.early;
        let mut early = Early::new(outline.framing);
        if outline.expect_continue && !early.is_done() {
            // The service cannot give leave to send what it is not to see yet.
            self.write(CONTINUE).await?;
        }
        loop {
            match early.take(self.inbound.unread()) {
                Ok(taken) => self.inbound.consume(taken),
                Err(refusal) => {
                    let status = refusal.status();
                    self.gate.refuse_malformed(&what, &refusal.to_string());
                    return Ok(Judged::Malformed { status });
                }
            }
            if early.is_done() {
                break;
            }
            let Self {
                gate,
                client,
                inbound,
                alarm,
                ..
            } = self;
            tokio::select! {
                biased;
                () = gate.revoked(None) => return end(Ended::Revoked, Close::Reset),
                filled = inbound.fill(client) => {
                    if !matches!(filled, Ok(1..)) {
                        gate.refuse_malformed(&what, "request body cut short");
                        return end(Ended::ClientGone, Close::Plain);
                    }
                }
                () = alarm.until(deadline) => {
                    gate.refuse_malformed(&what, "request body not complete in time");
                    self.say(408, outline.to_head, true).await?;
                    return end(Ended::BodyTimeout, Close::Linger);
                }
            }
        }
        // What the client took for its body is no delay of ours.
        self.arrived = std::time::Instant::now();
        match Scanner::new().find(head) {
            Ok(Some(scanned)) => Ok(judge(self.gate, scanned, head, Some(early))),
            // It was whole before.
            Ok(None) | Err(_) => Ok(Judged::Malformed { status: 400 }),
        }
    }

    fn malformed(&self, reason: &str) {
        unreadable(self.gate, self.inbound.unread(), reason);
    }

    /// Dials if need be, and lets the request through.
    async fn serve(
        &mut self,
        permit: G::Permit,
        outline: Outline,
        mut start: Start,
    ) -> Result<(), End> {
        if touched(&mut self.upstream).await {
            self.upstream = None;
        }
        let gate = self.gate;
        if self.upstream.is_none() {
            let dialled = tokio::select! {
                biased;
                () = gate.revoked(Some(&permit)) => return end(Ended::Revoked, Close::Reset),
                dialled = timeout(self.timeouts.dial, gate.dial()) => dialled,
            };
            match dialled {
                Ok(Ok(upstream)) => {
                    // Only now is it certain which of several endpoints it is, and by what name that goes.
                    if let Some(authority) = gate.upstream_authority()
                        && replace_authority(&mut start.head, &authority).is_err()
                    {
                        return self.refuse(503, outline).await;
                    }
                    self.upstream = Some(upstream);
                }
                Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
                    return self.refuse(502, outline).await;
                }
                Ok(Err(_)) | Err(_) => return self.refuse(504, outline).await,
            }
        }
        let Self {
            client,
            inbound,
            upstream: Some(upstream),
            timeouts,
            alarm,
            arrived,
            ..
        } = self
        else {
            return self.refuse(502, outline).await;
        };
        let outcome = tokio::select! {
            biased;
            () = gate.revoked(Some(&permit)) => return end(Ended::Revoked, Close::Reset),
            outcome = exchange(gate, Ends { client, inbound, upstream, alarm, arrived: *arrived }, outline, start, timeouts.stall) => outcome,
        };
        if let Outcome::Opened(read) = outcome {
            // On the heap: most connections never come here, and none should be larger for it.
            let ended = Box::pin(gate.carry(&permit, client, upstream, *read)).await;
            return end(ended, Close::Plain);
        }
        self.settle(outcome, outline).await
    }

    /// Whether, after an exchange, there can be another.
    async fn settle(&mut self, outcome: Outcome, outline: Outline) -> Result<(), End> {
        if !matches!(
            outcome,
            Outcome::Complete {
                upstream_lives: true,
                ..
            }
        ) {
            self.upstream = None;
        }
        match outcome {
            Outcome::Complete {
                client_lives: true, ..
            } => Ok(()),
            Outcome::Complete {
                client_lives: false,
                ..
            } => end(Ended::Finished, Close::Linger),
            // `serve` carries it.
            Outcome::Opened(_) => end(Ended::Finished, Close::Reset),
            Outcome::Ahead => {
                let reason = "client sent more before its WebSocket was open";
                self.gate.refuse_malformed(WEBSOCKET, reason);
                self.say(400, outline.to_head, true).await?;
                end(Ended::Malformed, Close::Linger)
            }
            Outcome::Early => end(Ended::EarlyAnswer, Close::Linger),
            Outcome::NoAnswer {
                request_whole,
                fault,
            } => {
                self.gate.upstream_failed(&fault.to_string());
                let close = !(request_whole && outline.keep_alive);
                self.say(502, outline.to_head, close).await?;
                if close {
                    end(Ended::UpstreamBroke, Close::Linger)
                } else {
                    Ok(())
                }
            }
            Outcome::BadBody(refusal) => {
                self.gate
                    .refuse_malformed("request body", &refusal.to_string());
                self.say(refusal.status(), outline.to_head, true).await?;
                end(Ended::Malformed, Close::Linger)
            }
            Outcome::ClientGone => end(Ended::ClientGone, Close::Reset),
            Outcome::Cut(Fault::Request(refusal)) => {
                self.gate
                    .refuse_malformed("request body", &refusal.to_string());
                end(Ended::Malformed, Close::Reset)
            }
            Outcome::Cut(fault) => {
                self.gate.upstream_failed(&fault.to_string());
                end(Ended::UpstreamBroke, Close::Reset)
            }
            Outcome::Stalled { started: true } => end(Ended::Stalled, Close::Reset),
            Outcome::Stalled { started: false } => {
                self.say(504, outline.to_head, true).await?;
                end(Ended::Stalled, Close::Linger)
            }
        }
    }

    /// Answers a request of which nothing has moved, and skips its body where that is short and sure to come.
    async fn refuse(&mut self, status: u16, outline: Outline) -> Result<(), End> {
        let skip = outline.skippable();
        self.say(status, outline.to_head, skip.is_none()).await?;
        let Some(left) = skip else {
            let ended = if outline.keep_alive {
                Ended::RefusedBody
            } else {
                Ended::Finished
            };
            return end(ended, Close::Linger);
        };
        match timeout(self.timeouts.answer, self.skip(left)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => end(Ended::ClientGone, Close::Plain),
        }
    }

    async fn skip(&mut self, mut left: u64) -> io::Result<()> {
        loop {
            let here = self.inbound.unread().len();
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(here);
            self.inbound.consume(count);
            left -= count as u64;
            if left == 0 {
                return Ok(());
            }
            if self.inbound.fill(&mut self.client).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends an answer of our own.
    async fn say(&mut self, status: u16, to_head: bool, close: bool) -> Result<(), End> {
        self.write(&answer(status, to_head, close)).await
    }

    async fn write(&mut self, text: &[u8]) -> Result<(), End> {
        match timeout(self.timeouts.answer, self.client.write_all(text)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => end(Ended::ClientGone, Close::Reset),
        }
    }

    async fn close(&mut self, close: Close) {
        self.upstream = None;
        match close {
            Close::Plain => {}
            // If it cannot be set, the client has gone already, and there is no one to mislead.
            Close::Reset => drop(self.client.set_zero_linger()),
            Close::Linger => {
                // Whichever way this ends, the connection is closed next.
                let _ = timeout(self.timeouts.linger, self.linger()).await;
            }
        }
    }

    /// Closes our side and drops what still comes, until the client has closed its own.
    async fn linger(&mut self) -> io::Result<()> {
        self.client.shutdown().await?;
        loop {
            let here = self.inbound.unread().len();
            self.inbound.consume(here);
            if self.inbound.fill(&mut self.client).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// Reads from the client once there is something to read, and holds no memory until then. 0 is the end of the stream.
async fn fill_when_readable(inbound: &mut Buffer, client: &mut Whole) -> io::Result<usize> {
    poll_fn(|cx| {
        ready!(client.poll_read_ready(cx))?;
        inbound.poll_fill(cx, client)
    })
    .await
}

/// Resolves when a connection at rest has something to say: its end, an error, or bytes that nobody asked for. It is
/// of no more use then. Never resolves without a connection.
async fn until_touched<U: AsyncRead + Unpin>(upstream: &mut Option<U>) {
    poll_fn(|cx| match upstream {
        Some(upstream) => {
            let mut byte = [0];
            Pin::new(upstream)
                .poll_read(cx, &mut ReadBuf::new(&mut byte))
                .map(drop)
        }
        None => Poll::Pending,
    })
    .await;
}

/// Whether [`until_touched`] would resolve at once.
async fn touched<U: AsyncRead + Unpin>(upstream: &mut Option<U>) -> bool {
    let mut touch = std::pin::pin!(until_touched(upstream));
    poll_fn(|cx| Poll::Ready(touch.as_mut().poll(cx).is_ready())).await
}
