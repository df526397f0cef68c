//! The caller's terminal, and the compartment's own behind it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::pump::{End, Pump, share};

/// Whether the caller's terminal is raw at the moment: messages need carriage returns then.
static RAW: AtomicBool = AtomicBool::new(false);

/// Whether lines on the terminal need a carriage return.
pub(super) fn is_raw() -> bool {
    RAW.load(Ordering::Relaxed)
}

/// Both terminals. Dropping it gives the caller's back as it was.
pub(super) struct Terminal {
    outer: OwnedFd,
    master: OwnedFd,
    before: Termios,
    interactive: bool,
}

impl Terminal {
    /// Ties the caller's terminal to the compartment's `master`. Two pumps carry the bytes: input first, if the
    /// caller's standard input is the terminal.
    pub(super) fn tie(
        outer: OwnedFd,
        master: OwnedFd,
        interactive: bool,
    ) -> io::Result<(Self, Vec<Pump>)> {
        let before = tcgetattr(&outer)?;
        // The inner terminal starts as the outer one is; modes set on a master are the slave's.
        tcsetattr(&master, OptionalActions::Now, &before)?;
        let mut pumps = Vec::new();
        if interactive {
            pumps.push(Pump::typed(
                End::file(share(&outer)?),
                End::file(share(&master)?),
            ));
        }
        pumps.push(Pump::outwards(
            End::file(share(&master)?),
            End::file(share(&outer)?),
        ));
        let terminal = Self {
            outer,
            master,
            before,
            interactive,
        };
        terminal.follow_size()?;
        Ok((terminal, pumps))
    }

    /// Gives the inner terminal the outer one's size; the kernel tells the programs inside.
    pub(super) fn follow_size(&self) -> io::Result<()> {
        Ok(tcsetwinsize(&self.master, tcgetwinsize(&self.outer)?)?)
    }

    /// Every key goes to the inner terminal, which knows what Ctrl-C means there. Only while this process may use
    /// the outer one: a background job leaves it alone. Returns whether it is ours.
    pub(super) fn take(&self) -> bool {
        let foreground = rustix::termios::tcgetpgrp(self.outer.as_fd())
            .is_ok_and(|group| group == rustix::process::getpgrp());
        if !self.interactive || !foreground {
            return false;
        }
        let mut raw = self.before.clone();
        raw.make_raw();
        let taken = tcsetattr(&self.outer, OptionalActions::Drain, &raw).is_ok();
        RAW.store(taken, Ordering::Relaxed);
        taken
    }

    /// Gives the outer terminal back as it was.
    pub(super) fn give_back(&self) {
        if RAW.swap(false, Ordering::Relaxed) {
            // A terminal that is gone needs no restoring.
            let _ = tcsetattr(&self.outer, OptionalActions::Drain, &self.before);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.give_back();
    }
}
