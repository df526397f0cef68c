//! The life of one flow: what the client sends goes to the receiver, what the receiver sends comes back from where the
//! client sent to.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringfence_compartment::datagram::{DATAGRAM_MAX, send_from};
use ringfence_model::flow::Outcome;
use tokio::time::{Instant, sleep_until};

use super::limits::Timeouts;
use super::queue::{Datagram, Mail};
use super::reach::Reach;
use crate::connection::Connection;
use crate::limits::DATAGRAMS_PER_TURN;

thread_local! {
    /// One byte more than any datagram has: none is ever cut.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; DATAGRAM_MAX + 1].into_boxed_slice());
}

/// Serves a flow to its end, and records that.
pub(super) async fn live(
    connection: Connection,
    mail: Mail,
    answers: Arc<OwnedFd>,
    timeouts: Timeouts,
) {
    let mut flow = Flow {
        connection: &connection,
        mail,
        answers,
        reach: Reach::new(&connection),
        last: None,
        trouble: None,
        dropped: 0,
        sent: 0,
        received: 0,
        clock: Clock::new(timeouts),
    };
    let (outcome, mut reason) = flow.run().await;
    connection.count(flow.sent, flow.received);
    let mut trouble = flow.trouble.take();
    let lost = flow.dropped + flow.mail.lost();
    if lost > 0 {
        let said = trouble.as_mut().unwrap_or(&mut reason);
        *said = format!("{said}; {lost} datagrams were lost");
    }
    if let Some(trouble) = trouble {
        connection.note_trouble(trouble);
    }
    // Whatever comes from here on begins a new flow, and stands after this one in the log or before it, never in it.
    drop(flow);
    // It is over, recorded or not; the log counts what it cannot take.
    let _counted_by_the_log = connection.close(outcome, reason);
}

struct Flow<'c> {
    connection: &'c Connection,
    mail: Mail,
    answers: Arc<OwnedFd>,
    reach: Reach<'c>,
    /// What was sent last and not answered yet, in case that nobody listened there.
    last: Option<(Datagram, Instant)>,
    /// Why the receiver was not reached the last time.
    trouble: Option<String>,
    /// Datagrams that reached neither side.
    dropped: u64,
    /// Payload bytes to the receiver, and back.
    sent: u64,
    received: u64,
    clock: Clock,
}

/// What happened next.
enum Next {
    There(Datagram),
    Back(io::Result<()>),
    Quiet,
}

impl Flow<'_> {
    async fn run(&mut self) -> (Outcome, String) {
        // Watching begins before anything is sent and is asked before each datagram: see `Connection::watch`.
        let mut stop = std::pin::pin!(self.connection.watch(None));
        let revoked = || (Outcome::Deny, "revoked".to_owned());
        let mut turn = 0;
        loop {
            let wake = self.last.as_ref().map(|(_, until)| *until);
            let wake = wake.map_or(self.clock.end(), |until| until.min(self.clock.end()));
            // Only waiting happens inside: a branch that loses is dropped, and must not have begun anything. Neither
            // direction comes before the other.
            let next = async {
                tokio::select! {
                    datagram = self.mail.next() => Next::There(datagram),
                    ready = self.reach.readable() => Next::Back(ready),
                    () = sleep_until(wake) => Next::Quiet,
                }
            };
            let next = tokio::select! {
                biased;
                _kept_by_the_connection = &mut stop => return revoked(),
                next = next => next,
            };
            match next {
                Next::There(datagram) => {
                    self.clock.moved(false);
                    tokio::select! {
                        biased;
                        _kept_by_the_connection = &mut stop => return revoked(),
                        () = self.there(datagram) => {}
                    }
                }
                Next::Back(Ok(())) => match self.back() {
                    Ok(None) => {}
                    // Nobody listened after all: the next place may.
                    Ok(Some(again)) => tokio::select! {
                        biased;
                        _kept_by_the_connection = &mut stop => return revoked(),
                        () = self.there(again) => {}
                    },
                    Err(cause) => return (Outcome::Error, cause.to_string()),
                },
                Next::Back(Err(cause)) => return (Outcome::Error, cause.to_string()),
                Next::Quiet => {
                    let now = Instant::now();
                    self.last.take_if(|(_, until)| *until <= now);
                    if self.clock.end() <= now && self.mail.end_if_empty() {
                        return (Outcome::Allow, format!("idle for {:?}", self.clock.idle()));
                    }
                }
            }
            turn += 1;
            if turn % DATAGRAMS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// One datagram to the receiver, and before it the one that turns out to have reached nobody.
    async fn there(&mut self, datagram: Datagram) {
        if self.last.is_some()
            && self.reach.was_refused()
            && let Some((earlier, _)) = self.last.take()
        {
            self.sent -= earlier.len();
            self.forward(earlier).await;
        }
        self.forward(datagram).await;
    }

    /// One datagram to the receiver, whole or not at all.
    async fn forward(&mut self, datagram: Datagram) {
        self.last = None;
        match self.reach.send(&datagram.payload).await {
            Ok(()) => {
                self.sent += datagram.len();
                if !self.clock.answered {
                    self.last = Some((datagram, Instant::now() + self.clock.timeouts.refusal));
                }
            }
            Err(cause) => {
                self.dropped += 1;
                let to = self.connection.to();
                self.trouble = Some(format!("{to} is not reached: {cause}"));
            }
        }
    }

    /// One datagram to the client, whole or not at all. Gives back the last one that was sent when word has come that
    /// nobody listened.
    fn back(&mut self) -> io::Result<Option<Datagram>> {
        let (from, to) = (self.mail.key.original.socket_addr(), self.mail.key.client);
        let sent = SCRATCH.with_borrow_mut(|scratch| {
            let length = self.reach.try_recv(scratch)?;
            Ok::<_, io::Error>((
                length,
                send_from(&self.answers, &scratch[..length], from, to),
            ))
        });
        match sent {
            Ok((length, sent)) => {
                self.clock.moved(true);
                self.last = None;
                self.trouble = None;
                match sent {
                    Ok(()) => self.received += length as u64,
                    // UDP promises nothing: a client that wanted it asks again.
                    Err(_) => self.dropped += 1,
                }
                Ok(None)
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(cause) if crate::door::udp::is_of_one_datagram(&cause) => {
                let to = self.connection.to();
                self.trouble = Some(format!("{to} is not reached: {cause}"));
                let again = self.last.take().map(|(datagram, _)| datagram);
                self.sent -= again.as_ref().map_or(0, Datagram::len);
                Ok(again)
            }
            Err(cause) => Err(cause),
        }
    }
}

/// When a flow is over.
struct Clock {
    timeouts: Timeouts,
    began: Instant,
    last: Instant,
    answered: bool,
    settled: bool,
}

impl Clock {
    fn new(timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self {
            timeouts,
            began: now,
            last: now,
            answered: false,
            settled: false,
        }
    }

    /// A datagram has come, from the receiver if `back`.
    fn moved(&mut self, back: bool) {
        self.last = Instant::now();
        self.answered |= back;
        self.settled |= self.answered && self.last - self.began >= self.timeouts.settled_after;
    }

    /// How long it may be idle.
    fn idle(&self) -> std::time::Duration {
        if self.settled {
            self.timeouts.settled
        } else {
            self.timeouts.fresh
        }
    }

    /// When it is over, if nothing comes.
    fn end(&self) -> Instant {
        self.last + self.idle()
    }
}
