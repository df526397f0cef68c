//! The link to the enforcer: handing doors over, sending attempts, hearing what it needs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::hints::Said;
use super::spool::Spool;
use crate::channel;
use crate::link::{DESCRIPTORS_MAX, FromEnforcer, Socket, ToEnforcer};

/// How long an enforcer may take to arm itself. Until then nobody answers at the doors; afterwards it counts as away.
const ARM_TIME: Duration = Duration::from_secs(10);

/// A link that was made. Gone when the enforcer is away.
pub(super) struct Link {
    descriptor: OwnedFd,
    armed: bool,
    since: Instant,
}

impl Link {
    /// Takes the launcher's end.
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // Ours alone: an enforcer that does not read must not hold up the answers to system calls.
        let flags = rustix::fs::fcntl_getfl(&descriptor)?;
        rustix::fs::fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?;
        Ok(Self {
            descriptor,
            armed: false,
            since: Instant::now(),
        })
    }

    /// Where to wait for the enforcer's words.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Sends sockets, and asks the enforcer to arm. `said` is for people.
    pub(super) fn hand_over<'a>(
        &mut self,
        sockets: impl Iterator<Item = (Socket, &'a OwnedFd)>,
        said: &Said,
    ) -> io::Result<()> {
        self.send_sockets(sockets)?;
        let arm = ToEnforcer::Arm {
            walls: said.walls.clone(),
            unbounded: said.unbounded.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        channel::send(&self.descriptor, &arm, &[])
    }

    /// Sends sockets, in as many messages as it takes.
    pub(super) fn send_sockets<'a>(
        &self,
        sockets: impl Iterator<Item = (Socket, &'a OwnedFd)>,
    ) -> io::Result<()> {
        let all: Vec<_> = sockets.collect();
        for batch in all.chunks(DESCRIPTORS_MAX) {
            let message = ToEnforcer::Sockets {
                sockets: batch.iter().map(|(socket, _)| *socket).collect(),
            };
            let beside: Vec<_> = batch
                .iter()
                .map(|(_, descriptor)| descriptor.as_fd())
                .collect();
            channel::send(&self.descriptor, &message, &beside)?;
        }
        Ok(())
    }

    /// The enforcer watches the doors.
    pub(super) fn armed(&mut self) {
        self.armed = true;
    }

    /// Whether it does.
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// It was asked to arm, and has not for too long.
    pub(super) fn is_overdue(&self) -> bool {
        !self.armed && self.since.elapsed() > ARM_TIME
    }

    /// Sends what the spool has, as far as the enforcer takes it. An error ends the link.
    pub(super) fn send_attempts(&self, spool: &mut Spool) -> io::Result<()> {
        while self.armed
            && let Some(attempts) = spool.next_batch()
        {
            match channel::send(&self.descriptor, &ToEnforcer::Attempts { attempts }, &[]) {
                Ok(()) => {}
                Err(cause) => {
                    spool.take_back();
                    return match cause.kind() {
                        io::ErrorKind::WouldBlock => Ok(()),
                        _ => Err(cause),
                    };
                }
            }
        }
        Ok(())
    }

    /// The next word of the enforcer: `Ok(None)` when there is none now, an error when the link has ended.
    pub(super) fn hear(&self) -> io::Result<Option<FromEnforcer>> {
        match channel::try_recv(&self.descriptor) {
            Ok(Some(packet)) => Ok(Some(packet.message)),
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(cause) => Err(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enforcer_that_does_not_arm_in_time_is_overdue_and_one_that_has_is_not() {
        let (near, _far) = channel::pair().unwrap();
        let mut link = Link::new(near).unwrap();
        let ago = |time: Duration| Instant::now().checked_sub(time).unwrap();
        // A test that is stopped for longer than this finds nothing wrong.
        let slack = Duration::from_secs(5);
        link.since = ago(ARM_TIME - slack);
        assert!(!link.is_overdue());
        link.since = ago(ARM_TIME + Duration::from_millis(1));
        assert!(link.is_overdue());
        link.armed();
        assert!(!link.is_overdue());
    }
}
