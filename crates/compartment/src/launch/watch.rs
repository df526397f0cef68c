//! The launcher's loop: one `poll` over everything that may happen while a workload lives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::drops::Drops;
use super::enclose::Enclosed;
use super::hints::Said;
use super::link::Link;
use super::pump::Pump;
use super::spool::Spool;
use super::start::{Init, Started};
use super::terminal::Terminal;
use super::{LaunchRequest, now_ns, say};
use crate::error::{EXIT_REFUSED, Refusal};
use crate::inside::keeper::Keeper;
use crate::link::{Grant, Socket};
use crate::root::Plan;

/// How often counters are read and folds are closed.
const TICK: Duration = Duration::from_secs(1);
/// Attempts wait this long for company before they are sent.
const GATHER: Duration = Duration::from_millis(20);
/// After the workload's end: how long nobody may take its last output, or the last attempts.
pub const LAST_WORDS: Duration = Duration::from_secs(3);

/// The connection to the node.
pub(super) enum Node {
    /// There.
    Here(OwnedFd),
    /// Not there; looked for again at this time.
    Gone(Instant),
}

/// A launcher whose compartment stands.
pub(super) struct Launcher {
    pub(super) request: LaunchRequest,
    pub(super) grant: Grant,
    pub(super) node: Node,
    /// `None`: the enforcer is away.
    pub(super) link: Option<Link>,
    pub(super) init: Init,
    /// From the workload's process, until the program runs.
    pub(super) report: Option<OwnedFd>,
    /// Refused system calls wait here, for as long as any process of the workload lives.
    pub(super) listener: Option<OwnedFd>,
    /// `None`: it ended, and no more inbound sockets are made.
    pub(super) keeper: Option<Keeper>,
    pub(super) doors: Vec<(Socket, OwnedFd)>,
    pub(super) answers: Vec<(Socket, OwnedFd)>,
    pub(super) log: OwnedFd,
    pub(super) terminal: Option<Terminal>,
    pub(super) pumps: Vec<Pump>,
    pub(super) signals: OwnedFd,
    pub(super) spool: Spool,
    pub(super) frozen: bool,
    /// How the workload ended, as an exit code, and until when last words are waited for.
    pub(super) outcome: Option<(u8, Instant)>,
    /// What was said last about node and enforcer: not said again.
    pub(super) complaint: String,
    /// What bounds the compartment from outside.
    pub(super) enclosed: Enclosed,
    /// What each new enforcer is told about it.
    pub(super) said: Said,
    drops: Drops,
    next_tick: Instant,
    _plan: Plan,
}

/// What a descriptor in the poll set is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Signals,
    Init,
    Report,
    Listener,
    Log,
    Link,
    Node,
    Keeper,
    Door(usize),
    Pump(usize),
}

impl Launcher {
    /// Takes over a compartment whose workload was told to start.
    pub(super) fn new(request: LaunchRequest, started: Started, signals: OwnedFd) -> Self {
        Self {
            request,
            grant: started.grant,
            node: Node::Here(started.node),
            link: Some(started.link),
            init: started.init,
            report: Some(started.report),
            listener: None,
            keeper: Some(started.keeper),
            doors: started.doors,
            answers: started.answers,
            log: started.log,
            terminal: started.terminal,
            pumps: started.pumps,
            signals,
            spool: Spool::default(),
            frozen: false,
            outcome: None,
            complaint: String::new(),
            enclosed: started.enclosed,
            said: started.said,
            drops: Drops::default(),
            next_tick: Instant::now() + TICK,
            _plan: started.plan,
        }
    }

    /// Lives until the workload has ended. Gives its exit code.
    pub(super) fn run(mut self) -> Result<u8, Refusal> {
        self.take_terminal();
        let ended = self.watch();
        if let Some(terminal) = &self.terminal {
            terminal.give_back();
        }
        if self.pumps.iter().any(Pump::holds_output) {
            say("the last output of the workload was not taken, and is lost");
        }
        let lost = self.spool.outstanding();
        if lost > 0 {
            say(&format!(
                "{lost} attempts could not be recorded: the enforcer was away when the workload ended"
            ));
        }
        // Whatever happened, nothing of the compartment stays.
        if let Err(cause) = self.init.end() {
            say(&format!(
                "process 1 of the compartment could not be ended: {cause}"
            ));
        }
        ended
    }

    fn watch(&mut self) -> Result<u8, Refusal> {
        loop {
            if let Some((code, until)) = self.outcome
                && (self.nothing_left_to_say() || Instant::now() >= until)
            {
                return Ok(code);
            }
            let ready = self.wait().map_err(|cause| {
                Refusal::wall(
                    "the launcher's watch",
                    &cause,
                    "look at the limits of this session",
                )
            })?;
            for source in ready {
                self.react(source)?;
            }
            self.turn()?;
        }
    }

    /// The workload's process 1 said how it went, or is gone.
    pub(super) fn ended(&mut self, code: u8) {
        if self.outcome.is_none() {
            self.outcome = Some((code, Instant::now() + LAST_WORDS));
            self.spool.close_window();
        }
    }

    fn nothing_left_to_say(&self) -> bool {
        self.spool.outstanding() == 0 && !self.pumps.iter().any(Pump::holds_output)
    }

    /// Everything that is not an answer to one descriptor.
    fn turn(&mut self) -> Result<(), Refusal> {
        let now = Instant::now();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.spool.tick(now_ns());
            self.look_at_drops();
        }
        if self.outcome.is_some() {
            self.look_at_drops();
            self.spool.close_window();
        }
        self.send_attempts();
        if self.link.as_ref().is_some_and(Link::is_overdue) {
            self.link_lost("it did not arm the doors in time");
        }
        if matches!(self.node, Node::Gone(retry) if now >= retry) {
            self.look_for_node();
        }
        self.pumps.retain(|pump| !pump.is_done());
        Ok(())
    }

    fn look_at_drops(&mut self) {
        if let Err(cause) = self.drops.look(&self.doors, &mut self.spool) {
            self.complain(format!("the doors' counters cannot be read: {cause}"));
        }
    }

    /// Says something once, not at every turn.
    pub(super) fn complain(&mut self, text: String) {
        if self.complaint != text {
            say(&text);
            self.complaint = text;
        }
    }

    /// Waits until something happens; says where.
    fn wait(&self) -> io::Result<Vec<Source>> {
        let mut sources: Vec<(Source, BorrowedFd<'_>, PollFlags)> = vec![
            (Source::Signals, self.signals.as_fd(), PollFlags::IN),
            (Source::Log, self.log.as_fd(), PollFlags::IN),
        ];
        let node = match &self.node {
            Node::Here(node) => Some(node),
            Node::Gone(_) => None,
        };
        let readable = [
            (
                Source::Init,
                self.outcome.is_none().then_some(&self.init.control),
            ),
            (Source::Report, self.report.as_ref()),
            (Source::Listener, self.listener.as_ref()),
            (Source::Link, self.link.as_ref().map(Link::descriptor)),
            (
                Source::Keeper,
                self.keeper.as_ref().map(|keeper| &keeper.channel),
            ),
            (Source::Node, node),
        ];
        sources.extend(readable.into_iter().filter_map(|(source, descriptor)| {
            descriptor.map(|descriptor| (source, descriptor.as_fd(), PollFlags::IN))
        }));
        if self.link.is_none() {
            for (index, (_, door)) in self.doors.iter().enumerate() {
                sources.push((Source::Door(index), door.as_fd(), PollFlags::IN));
            }
        }
        for (index, pump) in self.pumps.iter().enumerate() {
            if let Some((descriptor, flags)) = pump.interest() {
                sources.push((Source::Pump(index), descriptor, flags));
            }
        }
        let mut set: Vec<_> = sources
            .iter()
            .map(|(_, descriptor, flags)| PollFd::new(descriptor, *flags))
            .collect();
        let patience = self.patience();
        let patience = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        match rustix::event::poll(&mut set, Some(&patience)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(cause) => return Err(cause.into()),
        }
        Ok(sources
            .iter()
            .zip(&set)
            .filter(|(_, polled)| !polled.revents().is_empty())
            .map(|((source, ..), _)| *source)
            .collect())
    }

    /// How long to wait at most.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let mut until = self.next_tick;
        if let Node::Gone(retry) = self.node {
            until = until.min(retry);
        }
        if self.spool.has_pending() && self.link.as_ref().is_some_and(Link::is_armed) {
            until = until.min(now + GATHER);
        }
        if let Some((_, last)) = self.outcome {
            until = until.min(last).min(now + GATHER);
        }
        until.saturating_duration_since(now)
    }
}

/// The code for an end that nobody reported.
pub(super) const UNKNOWN_END: u8 = EXIT_REFUSED;
