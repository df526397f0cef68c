//! A terminal of the host, as standard streams: what a shell's user has.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::termios::{OptionalActions, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};
use serde::{Deserialize, Serialize};

use super::{Gift, LOOK, changed, forget, look};
use crate::escape::sys;

const TIOCGETD: usize = 0x5424;
const TIOCGEXCL: usize = 0x8004_5440;
const TIOCGLCKTRMIOS: usize = 0x5456;

/// How the attacker would know the terminal again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::escape) struct Given {
    /// Its name on the host.
    pub(in crate::escape) path: PathBuf,
    /// The file system that it is of.
    pub(in crate::escape) device: u64,
    /// The device that it is.
    pub(in crate::escape) number: u64,
}

impl Given {
    fn file() -> PathBuf {
        sys::own_directory().join("terminal.json")
    }

    /// As the giver told.
    pub(in crate::escape) fn read() -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(Self::file())?)?)
    }
}

/// Both sides of it. This process leads its session, as a shell does.
pub(super) struct Terminal {
    master: File,
    slave: File,
    given: Given,
    before: Vec<(&'static str, String)>,
}

impl Terminal {
    pub(super) fn new() -> io::Result<Self> {
        let flags = rustix::pty::OpenptFlags::RDWR
            | rustix::pty::OpenptFlags::NOCTTY
            | rustix::pty::OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        // Not made its terminal by opening it, so that it happens at one place.
        let slave: OwnedFd = rustix::fs::open(
            &path,
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(&slave)?;
        block_signals()?;
        let slave = File::from(slave);
        let found = slave.metadata()?;
        let given = Given {
            path,
            device: found.dev(),
            number: found.rdev(),
        };
        forget(&Given::file())?;
        std::fs::write(Given::file(), serde_json::to_vec(&given)?)?;
        Ok(Self {
            master: File::from(master),
            slave,
            given,
            before: Vec::new(),
        })
    }

    /// Everything that whoever uses it next would stumble over.
    fn looks(&self) -> Vec<(&'static str, String)> {
        let slave = &self.slave;
        let ask = |request: usize, room: &mut [u8]| {
            let place = sys::at_mut(room);
            let asked = sys::call(
                libc::SYS_ioctl,
                &[slave.as_raw_fd() as usize, request, place],
            );
            look(asked.map(|_| room.to_vec()))
        };
        let mut writable = [PollFd::new(slave, PollFlags::OUT)];
        let polled = rustix::event::poll(&mut writable, Some(&Timespec::default()));
        let takes_output = polled.map(|_| writable[0].revents());
        vec![
            ("modes", look(tcgetattr(slave))),
            ("size", look(tcgetwinsize(slave))),
            ("line discipline", ask(TIOCGETD, &mut [0; 4])),
            ("exclusive use", ask(TIOCGEXCL, &mut [0; 4])),
            // `struct termios`.
            ("locked modes", ask(TIOCGLCKTRMIOS, &mut [0; 36])),
            ("foreground", look(tcgetpgrp(slave))),
            ("readiness for output", look(takes_output)),
            ("flags", look(rustix::fs::fcntl_getfl(slave))),
            ("owner and mode", look(slave.metadata().map(owner_and_mode))),
        ]
    }

    fn is_readable(&self) -> bool {
        let mut readable = [PollFd::new(&self.slave, PollFlags::IN)];
        rustix::event::poll(&mut readable, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// What a shell would read now.
    fn typed(&self) -> Vec<u8> {
        let Ok(mut modes) = tcgetattr(&self.slave) else {
            return Vec::new();
        };
        // Without waiting for the end of a line.
        modes.make_raw();
        modes.special_codes[rustix::termios::SpecialCodeIndex::VMIN] = 0;
        let mut text = Vec::new();
        if tcsetattr(&self.slave, OptionalActions::Now, &modes).is_ok() {
            let mut buffer = [0; 4096];
            // A terminal without its usual line discipline gives an error; that it has another is told already. Modes that
            // are locked would have a read wait.
            while self.is_readable()
                && let Ok(length @ 1..) = (&self.slave).read(&mut buffer)
            {
                text.extend(&buffer[..length]);
            }
        }
        text
    }
}

fn owner_and_mode(found: std::fs::Metadata) -> (u32, u32, u32) {
    (found.uid(), found.gid(), found.mode())
}

/// A terminal that is hung up, or used from the background, would end or stop this process.
fn block_signals() -> io::Result<()> {
    let blocked = [libc::SIGHUP, libc::SIGTTOU, libc::SIGTTIN];
    let set = blocked
        .iter()
        .fold(0_u64, |set, signal| set | 1 << (signal - 1));
    let how = libc::SIG_BLOCK as usize;
    sys::call(libc::SYS_rt_sigprocmask, &[how, sys::at(&set), 0, 8]).map(drop)
}

impl Gift for Terminal {
    fn give(&mut self, command: &mut Command) -> io::Result<()> {
        command
            .stdin(self.slave.try_clone()?)
            .stdout(self.slave.try_clone()?)
            .stderr(self.slave.try_clone()?);
        self.before = self.looks();
        Ok(())
    }

    fn hear(&mut self) -> io::Result<Vec<u8>> {
        let mut waiting = [PollFd::new(&self.master, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK.subsec_nanos()),
        };
        rustix::event::poll(&mut waiting, Some(&patience))?;
        if !waiting[0].revents().contains(PollFlags::IN) {
            // One that was hung up is ready at once, for nothing.
            if !waiting[0].revents().is_empty() {
                std::thread::sleep(LOOK);
            }
            return Ok(Vec::new());
        }
        let mut buffer = vec![0; 4096];
        let length = self.master.read(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    }

    fn felt(&mut self) -> io::Result<Vec<String>> {
        let mut felt = changed(&self.before, &self.looks());
        let typed = self.typed();
        if !typed.is_empty() {
            let typed = String::from_utf8_lossy(&typed);
            felt.push(format!("typed into {:?}: {typed:?}", self.given.path));
        }
        Ok(felt)
    }
}
