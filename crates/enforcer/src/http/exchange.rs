//! One request and its answer, both ways at once, over two connections.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use ringfence_wire::http1::{self, Backward, BodyReader, Refusal, Scanner, Version, WebSocketKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::buffer::Buffer;
use super::gate::{Gate, Read};
use super::judge::{Outline, Start};
use super::limits::INTERIM_MAX;
use super::pump::{Broken, Pump};
use crate::whole::Whole;

/// By how much a head may grow when it is written in our form, before its memory has to.
const HEAD_GROWTH: usize = 256;

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Both messages went through whole.
    Complete {
        /// The client may send another request.
        client_lives: bool,
        /// The service may take another request.
        upstream_lives: bool,
    },
    /// The answer went through whole while the request was still coming.
    Early,
    /// The WebSocket that was asked for is open, and the client has been told so.
    Opened(Box<Read>),
    /// The client sent more before its WebSocket was open; it has seen nothing of an answer.
    Ahead,
    /// The service gave no answer, or none that can be passed on; the client has seen nothing of it.
    NoAnswer {
        /// The request went through whole, so the client is at the start of its next one.
        request_whole: bool,
        /// What was wrong.
        fault: Fault,
    },
    /// The request's body is framed unsoundly; the client has seen nothing of an answer.
    BadBody(Refusal),
    /// The client broke off.
    ClientGone,
    /// One side broke its message off, or framed it unsoundly, when a part of the answer had been passed on.
    Cut(Fault),
    /// No byte moved for too long. `started`: the client has seen a part of the answer.
    Stalled { started: bool },
}

/// What was wrong with an answer, or with the rest of a request whose answer had begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The connection ended too early.
    #[error("service closed the connection before its answer was complete")]
    Ended,
    /// Unsound bytes from the service.
    #[error("unsound answer: {0}")]
    Answer(Refusal),
    /// Unsound bytes from the client.
    #[error("unsound request body: {0}")]
    Request(Refusal),
    /// 101, which nobody asked for: what follows it would be read by no one.
    #[error("service switched protocols unasked")]
    Switched,
    /// A request to open a WebSocket was answered as the GET that it also is, which nobody has decided.
    #[error("service answered a WebSocket handshake as a plain request")]
    Plain,
    /// More than [`INTERIM_MAX`] interim answers.
    #[error("too many interim answers")]
    Interims,
}

/// The two ends of an exchange, with what was read from each and not yet passed on.
pub(super) struct Ends<'a, U> {
    pub(super) client: &'a mut Whole,
    pub(super) inbound: &'a mut Buffer,
    pub(super) upstream: &'a mut U,
    /// For want of movement.
    pub(super) alarm: &'a mut Alarm,
    /// When the head of the request was complete.
    pub(super) arrived: std::time::Instant,
}

/// Sends the request to the service, from `start` on, and the service's answer to the client.
pub(super) async fn exchange<G: Gate>(
    gate: &G,
    ends: Ends<'_, G::Upstream>,
    outline: Outline,
    start: Start,
    stall: Duration,
) -> Outcome {
    let Ends {
        client,
        inbound,
        upstream,
        alarm,
        arrived,
    } = ends;
    let mut arrived = Some(arrived);
    let mut exchange = Exchange::new(outline, start, inbound);
    let mut deadline = None;
    std::future::poll_fn(|cx| {
        let outcome = exchange.poll(cx, client, inbound, upstream);
        let (sent, received) = std::mem::take(&mut exchange.moved);
        if sent > 0 || received > 0 {
            if sent > 0
                && let Some(arrived) = arrived.take()
            {
                gate.sent_on(arrived);
            }
            gate.count(sent, received);
            deadline = None;
        }
        if outcome.is_ready() {
            return outcome;
        }
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + stall);
        ready!(alarm.poll(cx, deadline));
        Poll::Ready(Outcome::Stalled {
            started: exchange.answer_started(),
        })
    })
    .await
}

struct Exchange {
    upload: Upload,
    /// Read from the service and not yet passed on.
    answer: Buffer,
    download: Download,
    outline: Outline,
    /// The client asks to open a WebSocket.
    websocket: Option<Box<WebSocketKey>>,
    /// The client has closed its sending side.
    client_ended: bool,
    /// Bytes given to the service, and to the client, since last asked.
    moved: (u64, u64),
}

enum Upload {
    Moving(Pump),
    /// All of the request is with the service.
    Whole,
    /// The service takes no more of it; perhaps it has answered already.
    Refused,
}

enum Download {
    /// Waiting for the head of the answer, and passing on the interim one that the client waits for.
    Head {
        scanner: Scanner,
        interim: Pump,
        interims: u32,
    },
    /// Passing on that the WebSocket is open.
    Open(Pump),
    /// Passing the answer on.
    Body {
        pump: Pump,
        close: bool,
        upstream_lives: bool,
    },
}

impl Exchange {
    fn new(outline: Outline, start: Start, inbound: &mut Buffer) -> Self {
        let Start {
            head,
            begun,
            trailers,
            websocket,
        } = start;
        let framing = outline.framing;
        let body = begun.map_or_else(|| BodyReader::new(framing), |begun| *begun);
        let pump = Pump::resumed(head, body, (framing, framing), inbound);
        Self {
            upload: Upload::Moving(if trailers {
                pump
            } else {
                pump.without_trailers()
            }),
            answer: Buffer::default(),
            download: Download::Head {
                scanner: Scanner::response(),
                interim: Pump::bare(Vec::new()),
                interims: 0,
            },
            outline,
            websocket,
            client_ended: false,
            moved: (0, 0),
        }
    }

    /// The client has seen a part of the final answer, or is about to.
    fn answer_started(&self) -> bool {
        matches!(self.download, Download::Body { .. } | Download::Open(_))
    }

    /// The service has all of the request.
    fn request_whole(&self) -> bool {
        match &self.upload {
            Upload::Whole => true,
            Upload::Moving(pump) => pump.is_written(),
            Upload::Refused => false,
        }
    }

    fn poll<U>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Whole,
        inbound: &mut Buffer,
        upstream: &mut U,
    ) -> Poll<Outcome>
    where
        U: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(outcome) = self.poll_request(cx, client, inbound, upstream) {
            return Poll::Ready(outcome);
        }
        // Nothing may come before the answer, for it is not known yet what it would be (RFC 6455, 4.1).
        let ahead = !inbound.is_empty() || self.client_ended;
        if let Some(outcome) = ready!(self.poll_answer_head(cx, client, upstream, ahead)) {
            return Poll::Ready(outcome);
        }
        if let Download::Open(pump) = &mut self.download {
            let polled = pump.poll(cx, upstream, &mut self.answer, client);
            self.moved.1 += pump.take_moved();
            return Poll::Ready(match ready!(polled) {
                Ok(()) => {
                    let all = |buffer: &mut Buffer| buffer.split(buffer.unread().len()).to_vec();
                    Outcome::Opened(Box::new(Read {
                        there: all(inbound),
                        back: all(&mut self.answer),
                    }))
                }
                Err(_) => Outcome::ClientGone,
            });
        }
        let Download::Body {
            pump,
            close,
            upstream_lives,
        } = &mut self.download
        else {
            return Poll::Pending;
        };
        let (close, upstream_lives) = (*close, *upstream_lives);
        let polled = pump.poll(cx, upstream, &mut self.answer, client);
        self.moved.1 += pump.take_moved();
        Poll::Ready(match ready!(polled) {
            Ok(()) if self.request_whole() => Outcome::Complete {
                client_lives: !close,
                // Bytes behind the answer belong to no request.
                upstream_lives: upstream_lives && self.answer.is_empty(),
            },
            Ok(()) => Outcome::Early,
            Err(Broken::Sink) => Outcome::ClientGone,
            Err(Broken::Source) => Outcome::Cut(Fault::Ended),
            Err(Broken::Malformed(refusal)) => Outcome::Cut(Fault::Answer(refusal)),
        })
    }

    /// Moves the request. An outcome only when nothing else can matter any more.
    fn poll_request<U>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Whole,
        inbound: &mut Buffer,
        upstream: &mut U,
    ) -> Option<Outcome>
    where
        U: AsyncWrite + Unpin,
    {
        if let Upload::Moving(pump) = &mut self.upload {
            let polled = pump.poll(cx, client, inbound, upstream);
            self.moved.0 += pump.take_moved();
            match polled {
                Poll::Pending => return None,
                Poll::Ready(Ok(())) => self.upload = Upload::Whole,
                Poll::Ready(Err(Broken::Sink)) => self.upload = Upload::Refused,
                Poll::Ready(Err(Broken::Source)) => return Some(Outcome::ClientGone),
                Poll::Ready(Err(Broken::Malformed(refusal))) if self.answer_started() => {
                    return Some(Outcome::Cut(Fault::Request(refusal)));
                }
                Poll::Ready(Err(Broken::Malformed(refusal))) => {
                    return Some(Outcome::BadBody(refusal));
                }
            }
        }
        // The request is out of our hands. Look after the client, to learn when it has gone. What it sends ahead stays
        // in the buffer, and while there is something in that we read no further.
        if inbound.is_empty() && !self.client_ended {
            let filled = match client.poll_read_ready(cx) {
                Poll::Ready(Ok(())) => inbound.poll_fill(cx, client),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
            match filled {
                Poll::Ready(Ok(0)) => self.client_ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Some(Outcome::ClientGone),
                Poll::Pending => inbound.release(),
            }
        }
        None
    }

    /// Passes on the leave to send the body, and no other interim answer, until the final head is there and staged. An
    /// outcome when none can be had.
    fn poll_answer_head<U>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Whole,
        upstream: &mut U,
        ahead: bool,
    ) -> Poll<Option<Outcome>>
    where
        U: AsyncRead + Unpin,
    {
        loop {
            let Download::Head {
                scanner,
                interim,
                interims,
            } = &mut self.download
            else {
                return Poll::Ready(None);
            };
            let polled = interim.poll(cx, upstream, &mut self.answer, client);
            self.moved.1 += interim.take_moved();
            if ready!(polled).is_err() {
                return Poll::Ready(Some(Outcome::ClientGone));
            }
            match scanner.find(self.answer.unread()) {
                Err(refusal) => return self.no_answer(Fault::Answer(refusal)),
                Ok(None) => match self.answer.poll_fill(cx, upstream) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Ok(0) | Err(_)) => return self.no_answer(Fault::Ended),
                    Poll::Pending => {
                        self.answer.release();
                        return Poll::Pending;
                    }
                },
                Ok(Some(scanned)) => {
                    let length = scanned.len();
                    let head = match http1::parse_response(scanned, self.outline.to_head) {
                        Ok(head) => head,
                        Err(refusal) => return self.no_answer(Fault::Answer(refusal)),
                    };
                    let mut staged = Vec::with_capacity(length + HEAD_GROWTH);
                    if head.is_interim() {
                        *interims += 1;
                        if *interims > INTERIM_MAX {
                            return self.no_answer(Fault::Interims);
                        }
                        if head.status == 101 {
                            let Some(key) = self.websocket.as_deref() else {
                                return self.no_answer(Fault::Switched);
                            };
                            if let Err(refusal) = http1::opens_websocket(scanned, *key) {
                                return self.no_answer(Fault::Answer(refusal));
                            }
                            if ahead {
                                return Poll::Ready(Some(Outcome::Ahead));
                            }
                            head.write(
                                Backward {
                                    version: Version::Http11,
                                    close: false,
                                },
                                &mut staged,
                            );
                            self.answer.consume(length);
                            self.download = Download::Open(Pump::bare(staged));
                            return Poll::Ready(None);
                        }
                        // Clients disagree about all others: to some, 103 is the answer, and the one behind it that to
                        // their next request.
                        if head.status == 100 && std::mem::take(&mut self.outline.expect_continue) {
                            head.write(
                                Backward {
                                    version: Version::Http11,
                                    close: false,
                                },
                                &mut staged,
                            );
                        }
                        *interim = Pump::bare(staged);
                        *scanner = Scanner::response();
                        self.answer.consume(length);
                    } else {
                        if self.websocket.is_some() && matches!(head.status, 200..=299) {
                            return self.no_answer(Fault::Plain);
                        }
                        let (from, to) = (head.framing, head.framing_for(self.outline.version));
                        let close =
                            !self.outline.keep_alive || self.client_ended || !self.request_whole();
                        head.write(
                            Backward {
                                version: self.outline.version,
                                close,
                            },
                            &mut staged,
                        );
                        // A request with a body has told the service that it is the last one.
                        let upstream_lives = head.keep_alive
                            && !self.outline.framing.has_body()
                            && self.websocket.is_none();
                        self.answer.consume(length);
                        let pump = Pump::new(staged, from, to, &mut self.answer);
                        self.download = Download::Body {
                            pump,
                            close,
                            upstream_lives,
                        };
                    }
                }
            }
        }
    }

    fn no_answer(&self, fault: Fault) -> Poll<Option<Outcome>> {
        let request_whole = self.request_whole();
        Poll::Ready(Some(Outcome::NoAnswer {
            request_whole,
            fault,
        }))
    }
}
