//! Attempts that a full door lost: only the kernel's counters tell.
//!
//! Counted at the very socket (`SO_MEMINFO`), not in the namespace's totals: those would count what a workload's own
//! listeners lose as well.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::now_ns;
use super::spool::Spool;
use crate::link::{Attempt, Socket};
use crate::sys;

/// Last seen values, one for each door.
#[derive(Debug, Default)]
pub(super) struct Drops {
    seen: Vec<u32>,
}

impl Drops {
    /// Records what was lost at `doors` (always the same ones, in the same order) since the last call.
    pub(super) fn look(
        &mut self,
        doors: &[(Socket, OwnedFd)],
        spool: &mut Spool,
    ) -> io::Result<()> {
        self.seen.resize(doors.len(), 0);
        for ((socket, door), seen) in doors.iter().zip(&mut self.seen) {
            let now = sys::socket_drops(door.as_fd())?;
            let lost = now.wrapping_sub(*seen);
            *seen = now;
            if lost == 0 {
                continue;
            }
            let (protocol, reason) = match socket {
                Socket::TcpDoor4 | Socket::TcpDoor6 => (
                    "tcp",
                    "the door's queue was full; each segment that was dropped counts",
                ),
                _ => (
                    "udp",
                    "the door's buffer was full; each datagram that was dropped counts",
                ),
            };
            spool.push(Attempt {
                time_ns: now_ns(),
                wall: true,
                protocol: protocol.to_owned(),
                operation: "lost at a full door".to_owned(),
                destination: None,
                reason: reason.to_owned(),
                count: u64::from(lost),
                last_ns: 0,
            });
        }
        Ok(())
    }
}
