//! The caller's standard streams, and what the workload gets in their place.
//!
//! Pipes, files and the harmless devices pass as they are. A terminal is replaced by one of the compartment's own.
//! A socket would be a way out of the compartment: its bytes are relayed through a pipe. Directories (a way into
//! the host's tree), block devices and other devices are refused.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::pipe::PipeFlags;

use super::pump::{End, Pump};
use crate::error::Refusal;
use crate::sys;

/// `f_type` of the file system in which pipes without a name live (`PIPEFS_MAGIC`).
const PIPE_FILE_SYSTEM: rustix::fs::FsWord = 0x5049_5045;

/// The three streams, examined.
pub(super) struct Streams {
    /// For the workload's 0, 1, 2. `None`: its terminal.
    pub(super) given: [Option<OwnedFd>; 3],
    /// What relays sockets.
    pub(super) pumps: Vec<Pump>,
    /// The caller's terminal, by a descriptor of our own, if any of the streams is one.
    pub(super) terminal: Option<OwnedFd>,
    /// Whether standard input is that terminal: then it is read from.
    pub(super) interactive: bool,
}

impl Streams {
    /// Looks at 0, 1 and 2 of this process.
    pub(super) fn examine() -> Result<Self, Refusal> {
        let mut streams = Self {
            given: [None, None, None],
            pumps: Vec::new(),
            terminal: None,
            interactive: false,
        };
        let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
        for (number, stream) in [input.as_fd(), output.as_fd(), error.as_fd()]
            .into_iter()
            .enumerate()
        {
            streams.take(number, stream).map_err(|what| {
                Refusal::new(
                    format!("standard {} {what}", ["input", "output", "error"][number]),
                    "redirect it to a file, a pipe or /dev/null",
                )
            })?;
        }
        Ok(streams)
    }

    /// Lets a workload with a user of its own open its pipes by name (`/dev/stderr`), in the direction that it was given:
    /// it does not read what others write into the pipe of its output. Only pipes that have no name of their own; nobody
    /// else finds those. A FIFO of the host stays as it is.
    pub(super) fn open_pipes(&self) -> io::Result<()> {
        for stream in self.given.iter().flatten() {
            if rustix::fs::fstatfs(stream)?.f_type != PIPE_FILE_SYSTEM {
                continue;
            }
            let opened = match rustix::fs::fcntl_getfl(stream)? & OFlags::ACCMODE {
                OFlags::RDONLY => Mode::ROTH,
                OFlags::WRONLY => Mode::WOTH,
                _ => Mode::ROTH | Mode::WOTH,
            };
            let mode = Mode::from_raw_mode(rustix::fs::fstat(stream)?.st_mode);
            rustix::fs::fchmod(stream, mode | opened)?;
        }
        Ok(())
    }

    fn take(&mut self, number: usize, stream: BorrowedFd<'_>) -> Result<(), String> {
        let words = |cause: io::Error| format!("cannot be used: {cause}");
        if stream.is_terminal() {
            if self.terminal.is_none() {
                self.terminal = Some(own_description(stream).map_err(words)?);
            }
            self.interactive |= number == 0;
            return Ok(());
        }
        let found = rustix::fs::fstat(stream).map_err(|cause| words(cause.into()))?;
        if rustix::fs::fcntl_getfl(stream).is_ok_and(|flags| flags.contains(OFlags::PATH)) {
            return Err("is a bare path, which may not be handed over".to_owned());
        }
        let given = match FileType::from_raw_mode(found.st_mode) {
            FileType::Fifo | FileType::RegularFile => duplicate(stream),
            FileType::CharacterDevice if crate::root::harmless_device(found.st_rdev).is_some() => {
                duplicate(stream)
            }
            FileType::Socket => self.relay(number, stream),
            FileType::Directory => {
                return Err("is a directory, which may not be handed over".to_owned());
            }
            FileType::BlockDevice | FileType::CharacterDevice => {
                return Err("is a device, which may not be handed over".to_owned());
            }
            _ => return Err("is of a kind that may not be handed over".to_owned()),
        };
        self.given[number] = Some(given.map_err(words)?);
        Ok(())
    }

    /// A pipe for the workload, and a pump between it and the socket.
    fn relay(&mut self, number: usize, socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let socket = End::socket(duplicate(socket)?);
        if number == 0 {
            rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
            self.pumps.push(Pump::inwards(socket, End::file(write)));
            Ok(read)
        } else {
            rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
            self.pumps.push(Pump::outwards(End::file(read), socket));
            Ok(write)
        }
    }
}

fn duplicate(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    sys::duplicate_above(stream.as_raw_fd(), 3)
}

/// The same terminal, opened again: not to block on it must not make others' reads and writes return early.
fn own_description(terminal: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
        Ok(own) => Ok(own),
        // After `su`, for one, the terminal belongs to someone else. The shared description works as well.
        Err(_) => duplicate(terminal),
    }
}
