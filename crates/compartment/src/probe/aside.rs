//! A probe runs in a process of its own: what it does to itself ends with it, and so does what it hangs on.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::finding::Finding;
use crate::{channel, privileges, sys};

/// Where a probe says what it found. Copies of the process share it.
pub(super) struct Teller(OwnedFd);

impl Teller {
    /// Says one finding.
    pub(super) fn tell(&self, finding: Finding) {
        // Nobody listens any more when the probe took too long; it is being ended.
        let _ = channel::send(&self.0, &finding, &[]);
    }

    /// The value of a step that worked, said as `text`; or `None`, after saying why not.
    pub(super) fn step<T>(
        &self,
        id: &str,
        result: Result<T, crate::error::Refusal>,
        text: &str,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.tell(Finding::ok(id, text));
                Some(value)
            }
            Err(refusal) => {
                self.tell(Finding::refused(id, &refusal));
                None
            }
        }
    }

    /// To be kept open where all else is closed.
    pub(super) fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Runs `work` in a copy of this process, at most for `patience`, and gives all it told. `id` and `what` are for the
/// finding that is added where it did not come to its end.
pub(super) fn aside(
    id: &str,
    what: &str,
    patience: Duration,
    work: impl FnOnce(&Teller),
) -> Vec<Finding> {
    let started = channel::pair().and_then(|(near, far)| Ok((near, far, sys::clone_process(0)?)));
    let (near, far, cloned) = match started {
        Ok(started) => started,
        Err(cause) => {
            let text = format!("{what} cannot be tried: {cause}");
            let hint = "mount /proc, free some memory, processes or open files, then try again";
            return vec![Finding::fail(id, text, hint)];
        }
    };
    let (pid, pidfd) = match cloned {
        sys::Cloned::Child => {
            drop(near);
            let teller = Teller(far);
            if quiet().is_ok() {
                work(&teller);
                sys::exit_now(0)
            }
            sys::exit_now(1)
        }
        sys::Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(far);
    hear_out(id, what, patience, &near, (pid, &pidfd))
}

/// All that the process `pid` tells within `patience`. It is gone afterwards.
fn hear_out(
    id: &str,
    what: &str,
    patience: Duration,
    near: &OwnedFd,
    (pid, pidfd): (i32, &OwnedFd),
) -> Vec<Finding> {
    let mut told = Vec::new();
    let until = Instant::now() + patience;
    let ended = loop {
        match next(near, until) {
            Ok(Some(finding)) => told.push(finding),
            Ok(None) => break Ok(()),
            Err(cause) => break Err(cause),
        }
    };
    // A probe that has told everything ends by itself; any other is ended.
    if ended.is_err() {
        let _gone = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
    }
    let status = exit_code(pid);
    let trouble = match (ended, status) {
        (Err(cause), _) if cause.kind() == io::ErrorKind::TimedOut => {
            Some(format!("has not ended after {} s", patience.as_secs()))
        }
        (Err(cause), _) | (_, Err(cause)) => Some(format!("broke off: {cause}")),
        (Ok(()), Ok(0)) => None,
        (Ok(()), Ok(code)) => Some(format!("ended early, with code {code}")),
    };
    if let Some(trouble) = trouble {
        let after = told
            .last()
            .map(|finding: &Finding| format!(" (after `{}`)", finding.id))
            .unwrap_or_default();
        let text = format!("the trial of {what} {trouble}{after}");
        // One line for each id: that it broke off says more than that it began well.
        told.retain(|finding| finding.id != id);
        let hint = "look at the kernel's log (`dmesg`), then report this with the kernel's version (`uname -r`)";
        told.push(Finding::fail(id, text, hint));
    }
    told
}

/// The probe ends with who asked, and speaks by its findings alone.
fn quiet() -> io::Result<()> {
    privileges::die_with_parent()?;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for number in 0..3 {
        sys::place_descriptor(null.as_raw_fd(), number)?;
    }
    Ok(())
}

fn next(channel: &OwnedFd, until: Instant) -> io::Result<Option<Finding>> {
    loop {
        match channel::try_recv(channel) {
            Ok(packet) => return Ok(packet.map(|packet| packet.message)),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
            Err(cause) => return Err(cause),
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut waiting = [PollFd::new(channel, PollFlags::IN)];
        match rustix::event::poll(&mut waiting, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
}

/// Waits for a child, and gives its exit code; an error when a signal ended it.
pub(super) fn exit_code(pid: i32) -> io::Result<i32> {
    let status = rustix::process::waitpid(
        rustix::process::Pid::from_raw(pid),
        rustix::process::WaitOptions::empty(),
    )?;
    let code = status.and_then(|(_, status)| status.exit_status());
    code.ok_or_else(|| io::Error::other("it was killed by a signal"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "what is tested waits for it")]
    fn a_probe_that_does_not_end_is_ended_and_is_a_failure() {
        let (near, far) = channel::pair().unwrap();
        Teller(far.try_clone().unwrap()).tell(Finding::ok("first", "begun"));
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        let (patience, start) = (Duration::from_millis(80), Instant::now());
        let found = hear_out("slow", "a slow thing", patience, &near, (pid, &pidfd));
        assert!(start.elapsed() >= patience);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        let [first, last] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(first, &Finding::ok("first", "begun"));
        assert_eq!(last.outcome, super::super::Outcome::Fail);
        assert!(last.text.contains("has not ended"), "{last:?}");
        assert!(last.text.contains("after `first`"), "{last:?}");
        drop(far);
    }
}
