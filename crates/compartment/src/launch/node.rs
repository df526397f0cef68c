//! The talk with the node: who am I, may I, and where is the enforcer.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use serde::de::DeserializeOwned;

use super::{LaunchRequest, shown};
use crate::channel::{self, Packet};
use crate::error::{OrRefuse, Refusal};
use crate::link::{FromLauncher, Grant, LINK_VERSION, Rehearsal, ToLauncher};
use crate::sockets::{RUN_SOCKET, connect, socket_dir};
use crate::{privileges, sys};

/// How long the node, the enforcer and init may each take for one answer at the start.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(30);
/// How often a launcher looks for a node that went away.
pub const RETRY: Duration = Duration::from_millis(200);
/// The same, after a node that said no: each no is recorded there.
pub const RETRY_REFUSED: Duration = Duration::from_secs(2);
/// Longest program name told to the node, in characters; the rest is cut.
const COMMAND_MAX: usize = 150;

/// What a claim gave.
pub(super) struct Claimed {
    pub(super) node: OwnedFd,
    pub(super) grant: Grant,
    /// The program, where the grant is for that one alone.
    pub(super) program: Option<OwnedFd>,
    /// To the enforcer.
    pub(super) link: OwnedFd,
}

/// Claims the name of the request, and waits until the node grants it and names the enforcer.
///
/// `path` is where the workload looks for programs.
pub(super) fn claim(
    request: &LaunchRequest,
    path: &OsStr,
    signals: &OwnedFd,
) -> Result<Claimed, Refusal> {
    let (node, program) = show(request, path)?;
    ask(&node, request, Asked::Anew(program.as_ref())).map_err(|cause| broken(&cause))?;
    let grant = match answer(&node, signals, "the node")? {
        Packet {
            message: ToLauncher::Granted(grant),
            ..
        } => grant,
        Packet {
            message: ToLauncher::Refused { reason, hint },
            ..
        } => return Err(Refusal::new(reason, hint)),
        Packet {
            message: ToLauncher::Link,
            ..
        } => return Err(broken(&"it answered a claim with a link")),
        Packet {
            message: ToLauncher::WouldGrant(_) | ToLauncher::WouldRefuse { .. },
            ..
        } => return Err(broken(&"it answered a claim as a rehearsal")),
        Packet {
            message: ToLauncher::Enclosed(_),
            ..
        } => return Err(broken(&"it answered a claim with bounds")),
    };
    let link = match answer::<ToLauncher>(&node, signals, "the node")? {
        Packet {
            message: ToLauncher::Link,
            mut descriptors,
        } if descriptors.len() == 1 => descriptors.swap_remove(0),
        Packet {
            message: ToLauncher::Refused { reason, hint },
            ..
        } => return Err(Refusal::new(reason, hint)),
        _ => return Err(broken(&"it sent no way to the enforcer")),
    };
    let program = if grant.pinned {
        // Without it there is nothing to hold the workload to.
        Some(program.ok_or_else(|| broken(&"it holds the claim to a program it was not shown"))?)
    } else {
        None
    };
    Ok(Claimed {
        node,
        grant,
        program,
        link,
    })
}

/// Asks the node what would become of a claim of the request's name. Nothing but its own answer to that is taken for
/// a yes: a node that does not know the question refuses it, and one that grants has mistaken it. Gives the file that it
/// was shown as well.
pub(super) fn rehearse(
    request: &LaunchRequest,
    path: &OsStr,
    signals: &OwnedFd,
) -> Result<(Rehearsal, Option<OwnedFd>), Refusal> {
    let (node, program) = show(request, path)?;
    let asked = FromLauncher::Rehearse {
        version: LINK_VERSION,
        name: request.name.clone(),
    };
    let beside: Vec<_> = program.iter().map(|program| program.as_fd()).collect();
    channel::send(&node, &asked, &beside).map_err(|cause| broken(&cause))?;
    match answer(&node, signals, "the node")?.message {
        ToLauncher::WouldGrant(rehearsal) => Ok((rehearsal, program)),
        ToLauncher::WouldRefuse { reason, hint } => Err(Refusal::new(reason, hint)),
        ToLauncher::Refused { reason, .. } => Err(Refusal::new(
            format!("the node is older than this `ringfence` and cannot rehearse ({reason})"),
            format!(
                "replace it: `ringfence up --takeover --config DIR --state {}` from this binary; or run without --dry-run",
                request.state.display()
            ),
        )),
        ToLauncher::Granted(_) | ToLauncher::Link | ToLauncher::Enclosed(_) => {
            Err(broken(&"it took a rehearsal for a claim"))
        }
    }
}

/// A connection to the node, and the program that it is to be shown.
fn show(request: &LaunchRequest, path: &OsStr) -> Result<(OwnedFd, Option<OwnedFd>), Refusal> {
    let node = reach(request).map_err(|cause| unreachable(request, &cause))?;
    // Whoever listens has seen the group now. Nothing is opened, and nobody started, with it.
    privileges::give_up_group().or_refuse(
        "the group of the launcher",
        "report this with the kernel's version (`uname -r`)",
    )?;
    Ok((node, shown::program(request, path)))
}

/// A connection to the node, each side sure of the other's user.
pub(super) fn reach(request: &LaunchRequest) -> io::Result<OwnedFd> {
    connect(&socket_dir(&request.state)?, RUN_SOCKET)
}

/// What a claim is for.
pub(super) enum Asked<'a> {
    /// A workload that is not there yet, and the program it will be.
    Anew(Option<&'a OwnedFd>),
    /// The instance whose doors are held already.
    Again(&'a Grant),
}

/// Sends the claim.
pub(super) fn ask(node: &OwnedFd, request: &LaunchRequest, asked: Asked<'_>) -> io::Result<()> {
    let (resume, program) = match asked {
        Asked::Anew(program) => (None, program),
        Asked::Again(grant) => (Some(grant.instance.clone()), None),
    };
    let command = described(&request.command);
    let claim = FromLauncher::Claim {
        version: LINK_VERSION,
        name: request.name.clone(),
        command,
        resume,
    };
    let beside: Vec<_> = program.iter().map(|program| program.as_fd()).collect();
    channel::send(node, &claim, &beside)
}

/// The program and how many arguments it has. Arguments hold tokens and passwords, and what the node is told ends up in
/// the log.
fn described(command: &[OsString]) -> String {
    let Some((program, arguments)) = command.split_first() else {
        return String::new();
    };
    let program: String = program
        .to_string_lossy()
        .chars()
        .take(COMMAND_MAX)
        .collect();
    match arguments.len() {
        0 => program,
        1 => format!("{program} (1 argument)"),
        count => format!("{program} ({count} arguments)"),
    }
}

fn unreachable(request: &LaunchRequest, cause: &io::Error) -> Refusal {
    let state = request.state.display();
    match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Refusal::new(
            format!("no node is up for {state}"),
            format!(
                "start one: `ringfence up --config DIR --state {state}`, or give the --state of the one that is up"
            ),
        ),
        io::ErrorKind::PermissionDenied => Refusal::new(
            format!("the node of {state} is not for you: {cause}"),
            "ask a node of your own or one of root: give its --state",
        ),
        _ => Refusal::new(
            format!("the node of {state} cannot be reached: {cause}"),
            "look at `ringfence status`",
        ),
    }
}

pub(super) fn broken(cause: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        format!("the talk with the node broke off: {cause}"),
        "look at `ringfence status` and at what `ringfence up` says; restart the older of the two if their versions differ",
    )
}

/// The next message on `channel`, unless a signal that ends programs comes first, or nothing comes in time.
pub(super) fn answer<T: DeserializeOwned>(
    channel: &OwnedFd,
    signals: &OwnedFd,
    who: &str,
) -> Result<Packet<T>, Refusal> {
    answer_within(ANSWER_TIME, channel, signals, who)
}

fn answer_within<T: DeserializeOwned>(
    time: Duration,
    channel: &OwnedFd,
    signals: &OwnedFd,
    who: &str,
) -> Result<Packet<T>, Refusal> {
    let deadline = Instant::now() + time;
    loop {
        match channel::try_recv(channel) {
            Ok(Some(packet)) => return Ok(packet),
            Ok(None) => {
                return Err(Refusal::new(
                    format!("{who} closed the connection"),
                    "look at `ringfence status` and at what `ringfence up` says",
                ));
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
            Err(cause) => return Err(broken(&cause)),
        }
        while let Some(found) = sys::next_signal(signals.as_fd()).map_err(|cause| broken(&cause))? {
            if super::signals::ends(found.signal) {
                return Err(Refusal {
                    code: 128 + found.signal as u8,
                    what: format!(
                        "stopped by signal {} before the workload started",
                        found.signal
                    ),
                    fix: "start it again".to_owned(),
                });
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refusal::new(
                format!("{who} did not answer within {time:?}"),
                "look at `ringfence status` and at what `ringfence up` says",
            ));
        }
        let mut waiting = [
            PollFd::new(channel, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        let left = rustix::event::Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match rustix::event::poll(&mut waiting, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(broken(&io::Error::from(cause))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_counted_not_told() {
        let told =
            |words: &[&str]| described(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(told(&["true"]), "true");
        assert_eq!(told(&["cat", "-"]), "cat (1 argument)");
        assert_eq!(
            told(&["curl", "-H", "authorization: Bearer s3cret"]),
            "curl (2 arguments)"
        );
        assert_eq!(told(&[&"\u{fc}".repeat(500)]).chars().count(), COMMAND_MAX);
    }

    #[test]
    fn an_answer_is_waited_for_so_long_and_then_the_start_is_refused() {
        let (near, far) = channel::pair().unwrap();
        let signals = sys::signal_descriptor(&[libc::SIGUSR2]).unwrap();
        let time = Duration::from_millis(80);
        let start = Instant::now();
        let heard = answer_within::<String>(time, &near, &signals, "the node");
        assert!(start.elapsed() >= time);
        let refusal = heard.unwrap_err();
        assert_eq!(refusal.what, "the node did not answer within 80ms");
        // One that comes in time, though not at once.
        let late = std::thread::spawn(move || {
            std::thread::sleep(time);
            channel::send(&far, &"well", &[]).unwrap();
            far
        });
        let packet = answer::<String>(&near, &signals, "the node").unwrap();
        assert_eq!(packet.message, "well");
        drop(late.join().unwrap());
        let refusal = answer::<String>(&near, &signals, "the node").unwrap_err();
        assert_eq!(refusal.what, "the node closed the connection");
    }
}
