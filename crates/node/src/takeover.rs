//! `ringfence up --takeover`: another node serves this state, and this one is to replace it; an upgrade, most often.
//!
//! Everything that could keep this one from serving is tried first, beside the other one, which is asked to hand over
//! only when all of it went well. From then on it goes as with any restart: what the workloads try is reset and recorded
//! by their launchers, until this node has the lock and gives their doors to its enforcer.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringfence_compartment::link::{FromNode, ToNode};
use ringfence_compartment::spawn::spawn_enforcer;
use ringfence_compartment::{channel, memfd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::NodeError;
use crate::admin::{self, HandOver};
use crate::enforcer::EXE;
use crate::generation::{Desk, Serving};
use crate::limits::{HAND_OVER_WITHIN, LOADED_WITHIN, READY_WITHIN, STOP_WITHIN};
use crate::scrape::Loopback;
use crate::state::State;

// The other one waits so long for its enforcer to stop, and as long for it to end once it was killed.
const _: () = assert!(HAND_OVER_WITHIN.as_secs() > 2 * STOP_WITHIN.as_secs());

/// Between two tries for the lock.
const PAUSE: Duration = Duration::from_millis(10);

/// Replaces the node that holds `dir`, process `pid`, once `rehearsal` has shown that this one can serve.
pub(crate) fn take(
    dir: &Path,
    pid: Option<u32>,
    rehearsal: impl FnOnce() -> Result<(), NodeError>,
) -> Result<State, NodeError> {
    rehearsal()?;
    let failed = |what: String| NodeError::TakeOver {
        what,
        fix: match pid {
            Some(pid) => format!(
                "see what it says on its standard error; `kill -9 {pid}` ends it at once, and nothing passes until a node is \
                 up again"
            ),
            None => "end the other node where it runs".to_owned(),
        },
    };
    match admin::hand_over(dir) {
        Ok(HandOver::Agreed(pid)) => {
            crate::say::warn(&format!("taking over from process {pid}; it is stopping"));
        }
        Ok(HandOver::Signalled(pid)) => crate::say::warn(&format!(
            "taking over from process {pid}, an older version; it was sent SIGTERM"
        )),
        // It ended in this very moment, or is about to.
        Ok(HandOver::Absent) => {}
        Err(error) => {
            return Err(failed(format!(
                "the running node does not hand over: {error}; it goes on"
            )));
        }
    }
    wait_for(dir, pid, HAND_OVER_WITHIN).unwrap_or_else(|| {
        Err(failed(format!(
            "the running node said yes, and has not ended after {HAND_OVER_WITHIN:?}"
        )))
    })
}

/// The state, once process `pid` has let go of it. `None`: it has not, within that time.
fn wait_for(dir: &Path, pid: Option<u32>, within: Duration) -> Option<Result<State, NodeError>> {
    let deadline = Instant::now() + within;
    loop {
        match State::open(dir) {
            Err(NodeError::Locked { pid: holder, .. }) if holder == pid || holder.is_none() => {
                if Instant::now() >= deadline {
                    return None;
                }
                std::thread::sleep(PAUSE);
            }
            // Another one was faster: its start is as good as ours.
            other => return Some(other),
        }
    }
}

/// Whether the port for monitors is free, or will be: the running node's own.
pub(crate) fn rehearse_port(state: &Path, port: Option<Loopback>) -> Result<(), NodeError> {
    let Some(port) = port.map(Loopback::socket_addr) else {
        return Ok(());
    };
    let Err(error) = std::net::TcpListener::bind(port) else {
        return Ok(());
    };
    let running = admin::ask_status(state).ok().flatten();
    if running.is_some_and(|node| node.metrics.contains(&format!("http://{port}/metrics"))) {
        return Ok(());
    }
    Err(NodeError::TakeOver {
        what: format!(
            "the running node is left alone: metrics cannot be served on {port}: {error}"
        ),
        fix: "name another port with `--metrics`".to_owned(),
    })
}

/// What a node of this binary would do at its start, with nothing in `state` changed: the configuration read and
/// compiled, an enforcer started on a log of its own, the generation taken by it.
pub(crate) fn rehearse(
    mut desk: Desk,
    state: &Path,
    enforcer_args: impl FnOnce(&Path) -> Vec<std::ffi::OsString>,
) -> Result<(), NodeError> {
    let stays = "the running node is left alone";
    let serving = desk.rehearse().map_err(|why| NodeError::TakeOver {
        what: format!("{stays}: the configuration is not acceptable\n{why}"),
        fix: "mend it, and start again".to_owned(),
    })?;
    try_enforcer(&serving, state, enforcer_args).map_err(|error| NodeError::TakeOver {
        what: format!("{stays}: an enforcer of this binary does not serve: {error}"),
        fix: "see what it says above; the running node needs nothing".to_owned(),
    })
}

fn try_enforcer(
    serving: &Serving,
    state: &Path,
    enforcer_args: impl FnOnce(&Path) -> Vec<std::ffi::OsString>,
) -> io::Result<()> {
    let log = Scratch::new(state)?;
    let (ours, theirs) = channel::pair()?;
    let child = spawn_enforcer(Path::new(EXE), &enforcer_args(&log.0), theirs)?;
    let served = speak(&ours, serving);
    // Told to end, or out of order: either way it must not stay.
    let told = channel::send(&ours, &FromNode::Stop, &[]);
    let patience = Timespec {
        tv_sec: STOP_WITHIN.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let pidfd = child.pidfd().try_clone_to_owned()?;
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    let waited = told.is_ok() && rustix::event::poll(&mut ended, Some(&patience)) == Ok(1);
    if !waited {
        child.kill()?;
    }
    let end = child.wait()?;
    served.map_err(|error| io::Error::other(format!("{error} ({end})")))
}

fn speak(enforcer: &OwnedFd, serving: &Serving) -> io::Result<()> {
    let hear = |within: Duration| {
        set_socket_timeout(enforcer, Timeout::Recv, Some(within))?;
        match channel::recv::<ToNode>(enforcer) {
            Ok(Some(packet)) => Ok(packet.message),
            Ok(None) => Err(io::Error::other("it ended")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::other(
                format!("it says nothing within {within:?}"),
            )),
            Err(error) => Err(error),
        }
    };
    let other = |message| Err(io::Error::other(format!("it answers with {message:?}")));
    match hear(READY_WITHIN)? {
        ToNode::Ready => {}
        message => return other(message),
    }
    let file = memfd::sealed("ringfence-rehearsal", &serving.assignment)?;
    let load = FromNode::Load {
        generation: serving.generation,
    };
    channel::send(enforcer, &load, &[file.as_fd()])?;
    match hear(LOADED_WITHIN)? {
        ToNode::Loaded { .. } => Ok(()),
        ToNode::Rejected { reason, .. } => Err(io::Error::other(reason)),
        message => other(message),
    }
}

/// A directory for the log of the rehearsal, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(state: &Path) -> io::Result<Self> {
        let path = state.join(format!(".rehearsal-{}", std::process::id()));
        // One of this number that was killed in the middle left it behind.
        let _ = std::fs::remove_dir_all(&path);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            crate::say::warn(&format!("{} stays behind: {error}", self.0.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_not_let_go_of_is_waited_for_so_long() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("state");
        let held = State::open(&dir).unwrap();
        let own = Some(std::process::id());
        let within = Duration::from_millis(200);
        let began = Instant::now();
        assert!(wait_for(&dir, own, within).is_none());
        assert!(began.elapsed() >= within);
        // Let go of meanwhile.
        let waiting = std::thread::spawn({
            let dir = dir.clone();
            move || wait_for(&dir, own, HAND_OVER_WITHIN)
        });
        std::thread::sleep(PAUSE * 3);
        drop(held);
        let state = waiting.join().unwrap().unwrap().unwrap();
        // Another node that was faster is not waited for.
        let other = wait_for(&dir, Some(1), HAND_OVER_WITHIN).unwrap();
        assert!(matches!(other, Err(NodeError::Locked { .. })), "{other:?}");
        drop(state);
    }
}
