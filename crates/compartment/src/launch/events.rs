//! What a launcher does about each thing that happens.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ringfence_model::Memory;

use super::link::Link;
use super::node::{self, RETRY, RETRY_REFUSED};
use super::watch::{LAST_WORDS, Launcher, Node, Source, UNKNOWN_END};
use super::{away, refused, say};
use crate::error::Refusal;
use crate::inside::talk::{FromInit, FromKeeper, FromWorkload, ToInit, ToKeeper};
use crate::link::{DESCRIPTORS_MAX, FromEnforcer, ToLauncher};
use crate::{channel, doors, sys};

/// Most inbound sockets made at one request, of each kind.
const INBOUND_MAX: u32 = 256;
/// Messages read from one channel before others get their turn.
const TURN: usize = 64;

impl Launcher {
    /// Deals with one source that has something. An error is why the workload must not go on.
    pub(super) fn react(&mut self, source: Source) -> Result<(), Refusal> {
        match source {
            Source::Signals => self.on_signals(),
            Source::Init => self.on_init(),
            Source::Report => return self.on_report(),
            Source::Listener => self.on_listener(),
            Source::Log => self.on_log(),
            Source::Link => self.on_link(),
            Source::Node => self.on_node(),
            Source::Keeper => self.on_keeper(),
            Source::Door(index) => self.on_door(index),
            Source::Pump(index) => self.on_pump(index),
        }
        Ok(())
    }

    fn on_pump(&mut self, index: usize) {
        let Some(pump) = self.pumps.get_mut(index) else {
            return;
        };
        let before = pump.moved();
        pump.work();
        // As long as somebody takes the last output, it is waited for.
        if pump.holds_output()
            && pump.moved() > before
            && let Some((_, until)) = &mut self.outcome
        {
            *until = Instant::now() + LAST_WORDS;
        }
    }

    fn tell_init(&mut self, message: ToInit) {
        // An init that cannot be told is an init that is gone; its own channel says so.
        let _ = channel::send(&self.init.control, &message, &[]);
    }

    fn on_signals(&mut self) {
        while let Ok(Some(found)) = sys::next_signal(self.signals.as_fd()) {
            match found.signal {
                // The keeper's and init's ends are read from their channels.
                libc::SIGCHLD | libc::SIGTTIN | libc::SIGTTOU => {}
                libc::SIGTSTP => self.stop(),
                libc::SIGCONT => self.go_on(),
                libc::SIGWINCH => {
                    if let Some(terminal) = &self.terminal {
                        // A terminal that has no size any more is going away.
                        let _ = terminal.follow_size();
                    }
                }
                signal => self.tell_init(ToInit::Signal {
                    signal,
                    group: found.by_kernel,
                }),
            }
        }
    }

    /// The whole compartment stops, then this process: the caller's shell sees a stopped job.
    fn stop(&mut self) {
        self.frozen = true;
        self.tell_init(ToInit::Freeze);
        if let Some(terminal) = &self.terminal {
            terminal.give_back();
        }
        // SIGSTOP to oneself always succeeds, and returns when somebody continues us.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
    }

    fn go_on(&mut self) {
        self.take_terminal();
        if std::mem::take(&mut self.frozen) {
            self.tell_init(ToInit::Thaw);
        } else {
            self.tell_init(ToInit::Signal {
                signal: libc::SIGCONT,
                group: true,
            });
        }
    }

    /// Makes the caller's terminal ours if we are in the foreground; its keys are read only then.
    pub(super) fn take_terminal(&mut self) {
        if let Some(terminal) = &self.terminal {
            let ours = terminal.take();
            // A window may have changed meanwhile.
            let _ = terminal.follow_size();
            for pump in self.pumps.iter_mut().filter(|pump| pump.is_typed()) {
                pump.paused = !ours;
            }
        }
    }

    fn on_init(&mut self) {
        match channel::try_recv::<FromInit>(&self.init.control) {
            Ok(Some(packet)) => match packet.message {
                FromInit::Exited { code, signal } => {
                    let code = match (code, signal) {
                        (Some(code), _) => code as u8,
                        (None, Some(signal)) => 128_u8.wrapping_add(signal as u8),
                        (None, None) => UNKNOWN_END,
                    };
                    self.ended(code);
                }
                FromInit::Failed(refusal) => {
                    say(&refusal.to_string());
                    self.ended(refusal.code);
                }
                other => {
                    say(&format!(
                        "process 1 of the compartment said {other:?} out of turn"
                    ));
                    self.ended(UNKNOWN_END);
                }
            },
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => {
                if let Some(most) = self.enclosed.ran_out_of_memory() {
                    let fix = if most < self.grant.bounds.memory {
                        "the control groups above it allow no more (`MemoryMax=`): raise that"
                    } else {
                        "give it more: `limits: {memory: …}` in its resource"
                    };
                    say(&format!(
                        "the workload needed more memory than its {}, and was ended\n= help: {fix}",
                        Memory(most)
                    ));
                } else {
                    say(
                        "process 1 of the compartment was ended from outside, and the workload with it",
                    );
                }
                self.ended(128 + libc::SIGKILL as u8);
            }
        }
    }

    fn on_report(&mut self) -> Result<(), Refusal> {
        let Some(report) = &self.report else {
            return Ok(());
        };
        match channel::try_recv::<FromWorkload>(report) {
            Ok(Some(mut packet)) => match packet.message {
                FromWorkload::Listener => {
                    self.listener = packet.descriptors.pop();
                    Ok(())
                }
                FromWorkload::Failed(refusal) => Err(refusal),
                FromWorkload::Missing(missing) => {
                    let workdir = self.request.workdir.clone();
                    Err(missing.refusal(|path| on_host(path, workdir.as_deref())))
                }
            },
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            // Closed by exec: the program runs.
            Ok(None) | Err(_) => {
                self.report = None;
                Ok(())
            }
        }
    }

    fn on_listener(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        // Without a task left under the filter the descriptor stays ready for ever.
        let ended = sys::is_hung_up(listener.as_fd());
        let answered = if ended {
            Ok(())
        } else {
            refused::answer_call(listener, &mut self.spool)
        };
        if let Err(cause) = &answered {
            // The kernel answers ENOSYS from now on: closed, but no longer recorded.
            say(&format!(
                "refused system calls are no longer recorded: {cause}"
            ));
        }
        if ended || answered.is_err() {
            self.listener = None;
        }
    }

    fn on_log(&mut self) {
        if let Err(cause) = refused::read_log(&self.log, &mut self.spool) {
            self.complain(format!("the firewall's log cannot be read: {cause}"));
        }
    }

    fn on_door(&mut self, index: usize) {
        let Some((socket, door)) = self.doors.get(index) else {
            return;
        };
        if let Err(cause) = away::turn_away(*socket, door, &mut self.spool) {
            self.complain(format!("a door cannot be answered: {cause}"));
        }
    }

    fn on_keeper(&mut self) {
        let Some(keeper) = &self.keeper else { return };
        match channel::try_recv::<FromKeeper>(&keeper.channel) {
            Ok(Some(packet)) if packet.message.sockets.len() == packet.descriptors.len() => {
                if let Some(link) = &self.link {
                    let sockets = packet.message.sockets.iter().copied();
                    // An enforcer that has gone away meanwhile needs none; its link tells.
                    let _ = link.send_sockets(sockets.zip(&packet.descriptors));
                }
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => {
                self.keeper = None;
                if self.outcome.is_none() {
                    say(
                        "the keeper ended: nothing new can connect to this workload; restart it when that matters",
                    );
                }
            }
        }
    }

    fn ask_keeper(&mut self, needed: ToKeeper) {
        let Some(keeper) = &self.keeper else { return };
        for request in requests(needed) {
            if !keeper.order(&request) {
                break;
            }
        }
    }

    /// Sends what waits, if the enforcer is there to take it.
    pub(super) fn send_attempts(&mut self) {
        let Some(link) = &self.link else { return };
        if let Err(cause) = link.send_attempts(&mut self.spool) {
            self.link_lost(&cause.to_string());
        }
    }

    fn on_link(&mut self) {
        for _ in 0..TURN {
            let Some(link) = &mut self.link else { return };
            match link.hear() {
                Ok(None) => return,
                Ok(Some(FromEnforcer::Armed)) => {
                    link.armed();
                    self.complaint.clear();
                }
                Ok(Some(FromEnforcer::Rejected { reason })) => {
                    self.link_lost(&format!("it does not take the doors: {reason}"));
                }
                Ok(Some(FromEnforcer::Need {
                    inbound4,
                    inbound6,
                    udp4,
                    udp6,
                })) => self.ask_keeper(ToKeeper {
                    inbound4,
                    inbound6,
                    udp4,
                    udp6,
                }),
                Ok(Some(FromEnforcer::Recorded { messages })) => {
                    if let Err(cause) = self.spool.recorded(messages) {
                        self.link_lost(&cause);
                    }
                }
                Err(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
                    self.link_lost("it has ended");
                }
                Err(cause) => self.link_lost(&cause.to_string()),
            }
        }
    }

    /// From now on the launcher answers at the doors.
    pub(super) fn link_lost(&mut self, why: &str) {
        if self.link.take().is_some() {
            self.spool.link_lost();
            if self.outcome.is_none() {
                self.complain(format!(
                    "the enforcer is away ({why}): connections are reset and recorded until it is back"
                ));
            }
        }
    }

    fn on_node(&mut self) {
        for _ in 0..TURN {
            let Node::Here(node) = &self.node else { return };
            match channel::try_recv::<ToLauncher>(node) {
                Ok(Some(packet)) => match packet.message {
                    ToLauncher::Granted(grant) => {
                        if grant.instance != self.grant.instance
                            || grant.workload != self.grant.workload
                        {
                            self.node_lost("it took this workload for another");
                        }
                    }
                    ToLauncher::Refused { reason, hint } => {
                        self.node_lost(&format!("{reason}; {hint}"));
                        self.node = Node::Gone(Instant::now() + RETRY_REFUSED);
                    }
                    ToLauncher::Link => self.on_fresh_link(packet.descriptors),
                    ToLauncher::WouldGrant(_) | ToLauncher::WouldRefuse { .. } => {
                        self.node_lost("it took this workload for a rehearsal");
                    }
                    ToLauncher::Enclosed(_) => {
                        self.node_lost("it took this workload for one that starts");
                    }
                },
                Ok(None) => self.node_lost("it has ended"),
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(cause) => self.node_lost(&cause.to_string()),
            }
        }
    }

    fn node_lost(&mut self, why: &str) {
        self.node = Node::Gone(Instant::now() + RETRY);
        if self.outcome.is_none() {
            self.complain(format!(
                "the node is away ({why}); the workload waits for it"
            ));
        }
    }

    /// Connects to the node if it is there, and claims what is held already. Does not wait for the answer.
    pub(super) fn look_for_node(&mut self) {
        self.node = Node::Gone(Instant::now() + RETRY);
        // Not there yet, as a rule; said once already.
        if let Ok(node) = node::reach(&self.request)
            && node::ask(&node, &self.request, node::Asked::Again(&self.grant)).is_ok()
        {
            self.node = Node::Here(node);
        }
    }

    /// A new enforcer: everything that waits is turned away first, then it gets the doors.
    fn on_fresh_link(&mut self, mut descriptors: Vec<OwnedFd>) {
        self.link_lost("a new one takes over");
        let Some(descriptor) = descriptors.pop() else {
            self.complain("the node named an enforcer without a way to it".to_owned());
            return;
        };
        for (socket, door) in &self.doors {
            // One turn takes more than a queue holds; a datagram flood must not keep the enforcer out.
            if let Err(cause) = away::turn_away(*socket, door, &mut self.spool) {
                say(&format!("a door cannot be answered: {cause}"));
            }
        }
        let sockets = self.doors.iter().chain(&self.answers);
        let handed = Link::new(descriptor).and_then(|mut link| {
            link.hand_over(
                sockets.map(|(socket, descriptor)| (*socket, descriptor)),
                &self.said,
            )?;
            Ok(link)
        });
        match handed {
            Ok(link) => {
                self.link = Some(link);
                self.ask_keeper(ToKeeper {
                    inbound4: doors::INBOUND_AT_START,
                    inbound6: doors::INBOUND_AT_START,
                    ..ToKeeper::default()
                });
            }
            Err(cause) => self.complain(format!("the doors could not be handed over: {cause}")),
        }
    }
}

/// A path as the host has it, if it is there: relative ones from where the caller is.
pub(super) fn on_host(path: &Path, workdir: Option<&Path>) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    if !path
        .components()
        .any(|part| matches!(part, std::path::Component::Normal(_)))
    {
        return None;
    }
    // A bare name was looked for in PATH, not here.
    if path.components().count() == 1 && !path.has_root() {
        return None;
    }
    // What lies in the work directory is shown, at /work.
    if workdir.is_some_and(|workdir| absolute.starts_with(workdir)) {
        return Some(absolute);
    }
    std::fs::symlink_metadata(&absolute).ok().map(|_| absolute)
}

/// What the keeper is asked for, in pieces that it answers with one packet each.
fn requests(needed: ToKeeper) -> Vec<ToKeeper> {
    let mut left = [needed.inbound4, needed.inbound6, needed.udp4, needed.udp6]
        .map(|count| count.min(INBOUND_MAX));
    let share = DESCRIPTORS_MAX as u32 / left.len() as u32;
    let mut requests = Vec::new();
    while left.iter().any(|count| *count > 0) {
        let [inbound4, inbound6, udp4, udp6] = left.each_mut().map(|count| {
            let now = (*count).min(share);
            *count -= now;
            now
        });
        requests.push(ToKeeper {
            inbound4,
            inbound6,
            udp4,
            udp6,
        });
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(wanted: [u32; 4]) -> [u32; 4] {
        let [inbound4, inbound6, udp4, udp6] = wanted;
        let needed = ToKeeper {
            inbound4,
            inbound6,
            udp4,
            udp6,
        };
        let mut sum = [0; 4];
        for piece in requests(needed) {
            let piece = [piece.inbound4, piece.inbound6, piece.udp4, piece.udp6];
            assert!(piece.iter().sum::<u32>() <= DESCRIPTORS_MAX as u32);
            for (sum, count) in sum.iter_mut().zip(piece) {
                *sum += count;
            }
        }
        sum
    }

    #[test]
    fn at_one_request_so_many_sockets_are_made_of_each_kind_and_no_more() {
        let most = [INBOUND_MAX, 0, 1, INBOUND_MAX];
        assert_eq!(asked(most), most);
        assert_eq!(asked([INBOUND_MAX + 1, 0, 1, u32::MAX]), most);
    }
}
