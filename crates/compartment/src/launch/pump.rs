//! Bytes from one descriptor to another, a buffer at a time, never waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

/// Bytes held between the two, at most.
const BUFFER: usize = 16 * 1024;

/// One side of a pump.
#[derive(Debug)]
pub(super) struct End {
    descriptor: OwnedFd,
    socket: bool,
}

impl End {
    /// A non-blocking file, pipe or terminal.
    pub(super) fn file(descriptor: OwnedFd) -> Self {
        Self {
            descriptor,
            socket: false,
        }
    }

    /// A socket, in whatever mode: calls on it say themselves not to wait.
    pub(super) fn socket(descriptor: OwnedFd) -> Self {
        Self {
            descriptor,
            socket: true,
        }
    }

    fn read(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        if self.socket {
            rustix::net::recv(&self.descriptor, buffer, RecvFlags::DONTWAIT)
                .map(|(length, _)| length)
        } else {
            rustix::io::read(&self.descriptor, buffer)
        }
    }

    fn write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        if self.socket {
            rustix::net::send(
                &self.descriptor,
                bytes,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            )
        } else {
            rustix::io::write(&self.descriptor, bytes)
        }
    }
}

/// Copies until its source ends or its sink is closed, then lets go of both.
#[derive(Debug)]
pub(super) struct Pump {
    from: Option<End>,
    to: Option<End>,
    buffer: Vec<u8>,
    outwards: bool,
    typed: bool,
    moved: u64,
    /// Reads nothing for now: the caller's terminal belongs to somebody else.
    pub(super) paused: bool,
}

impl Pump {
    /// From the caller to the workload.
    pub(super) fn inwards(from: End, to: End) -> Self {
        Self::new(from, to, false)
    }

    /// From the caller's keyboard.
    pub(super) fn typed(from: End, to: End) -> Self {
        Self {
            typed: true,
            ..Self::new(from, to, false)
        }
    }

    /// Whether it reads the caller's keyboard.
    pub(super) fn is_typed(&self) -> bool {
        self.typed
    }

    /// From the workload to the caller: waited for at the end.
    pub(super) fn outwards(from: End, to: End) -> Self {
        Self::new(from, to, true)
    }

    fn new(from: End, to: End, outwards: bool) -> Self {
        Self {
            from: Some(from),
            to: Some(to),
            buffer: Vec::new(),
            outwards,
            typed: false,
            moved: 0,
            paused: false,
        }
    }

    /// Nothing more will come through.
    pub(super) fn is_done(&self) -> bool {
        self.to.is_none()
    }

    /// Whether the workload's last words may still be in it.
    pub(super) fn holds_output(&self) -> bool {
        self.outwards && !self.is_done()
    }

    /// Bytes that came through so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// What to wait for next.
    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if !self.buffer.is_empty() {
            self.to
                .as_ref()
                .map(|to| (to.descriptor.as_fd(), PollFlags::OUT))
        } else if self.paused {
            None
        } else {
            self.from
                .as_ref()
                .map(|from| (from.descriptor.as_fd(), PollFlags::IN))
        }
    }

    /// Moves what can be moved now.
    pub(super) fn work(&mut self) {
        if self.buffer.is_empty() && !self.paused {
            self.fill();
        }
        while !self.buffer.is_empty() {
            let Some(to) = &self.to else {
                self.buffer.clear();
                break;
            };
            match to.write(&self.buffer) {
                Ok(written) => {
                    self.buffer.drain(..written);
                    self.moved += written as u64;
                }
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::INTR) => {}
                // Nobody reads any more: whoever writes to us is to notice.
                Err(_) => {
                    self.from = None;
                    self.to = None;
                    self.buffer.clear();
                }
            }
        }
        if self.from.is_none()
            && let Some(to) = self.to.take()
            && to.socket
        {
            // The socket may be shared with the other streams: only our direction ends.
            let _ = rustix::net::shutdown(&to.descriptor, Shutdown::Write);
        }
    }

    fn fill(&mut self) {
        let Some(from) = &self.from else { return };
        let mut buffer = vec![0; BUFFER];
        match from.read(&mut buffer) {
            Ok(0) => self.from = None,
            Ok(length) => {
                buffer.truncate(length);
                self.buffer = buffer;
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // A terminal's master says EIO when the last holder of the other side is gone.
            Err(_) => self.from = None,
        }
    }
}

/// As an `io::Result`, for callers that want to share a descriptor.
pub(super) fn share(descriptor: &OwnedFd) -> io::Result<OwnedFd> {
    descriptor.try_clone()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn relays_a_socket_through_a_pipe_and_ends_it() {
        let (mut caller, given) = UnixStream::pair().unwrap();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK).unwrap();
        let mut pump = Pump::outwards(End::file(read), End::socket(given.into()));
        pump.work();
        assert!(pump.holds_output());
        let mut writer = std::fs::File::from(write);
        writer.write_all(b"last words").unwrap();
        drop(writer);
        while !pump.is_done() {
            pump.work();
        }
        let mut heard = String::new();
        caller.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "last words");
    }
}
