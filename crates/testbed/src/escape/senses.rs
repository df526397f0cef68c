//! How a canary feels: everything that can touch it is looked at by one thread, so that what came before it is asked has
//! been told when it answers.

use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::sys;

/// Word in front of everything a canary felt.
pub(super) const TOUCH: &str = "touched";
/// What it says once all stands, with the rest of the line as JSON.
pub(super) const STANDS: &str = "stands";
/// What it is asked on its stdin, and says when all that came before has been told.
pub(super) const ASKED: &str = "all told?";
/// The answer.
pub(super) const TOLD: &str = "all is told";
/// How often is looked where nothing wakes a waiting thread.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// What a canary can be touched by.
pub(super) enum Sense {
    /// Signals, all of them blocked.
    Signals(OwnedFd),
    /// Connections.
    Stream(TcpListener),
    /// Datagrams.
    Datagrams(UdpSocket),
    /// A Unix socket, and what it is called.
    Socket(UnixListener, &'static str),
    /// A FIFO.
    Pipe(std::fs::File),
    /// A POSIX queue.
    Queue(OwnedFd),
    /// A SysV queue, by its id.
    SysvQueue(usize),
}

/// Prints a line, or a piece of one.
pub(super) fn say(line: String) {
    // Its reader is gone only when the test is.
    let _ = io::stdout().lock().write_all(line.as_bytes());
}

fn touched(how: impl std::fmt::Display) {
    say(format!("{TOUCH} {how}\n"));
}

/// Tells of every touch, and answers when asked, until stdin ends.
pub(super) fn watch(senses: &[Sense], secret: &str) -> io::Result<()> {
    let stdin = io::stdin();
    let mut asked = 0;
    loop {
        let mut waiting = vec![PollFd::new(&stdin, PollFlags::IN)];
        let descriptors = senses.iter().filter_map(Sense::descriptor);
        waiting.extend(descriptors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        rustix::event::poll(&mut waiting, Some(&LOOK))?;
        if !waiting[0].revents().is_empty() {
            let mut text = [0; 4096];
            // Past the buffer of the standard library: what it holds is not seen by `poll`.
            let length = rustix::io::read(&stdin, &mut text)?;
            if length == 0 {
                return Ok(());
            }
            asked += text[..length].iter().filter(|byte| **byte == b'\n').count();
        }
        // All that had come when it was asked is there, and is told first.
        for sense in senses {
            sense.feel_all(secret)?;
        }
        for _ in 0..std::mem::take(&mut asked) {
            say(format!("{TOLD}\n"));
        }
    }
}

impl Sense {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Signals(own) | Self::Queue(own) => Some(own.as_fd()),
            Self::Stream(listener) => Some(listener.as_fd()),
            Self::Datagrams(socket) => Some(socket.as_fd()),
            Self::Socket(listener, _) => Some(listener.as_fd()),
            Self::Pipe(file) => Some(file.as_fd()),
            Self::SysvQueue(_) => None,
        }
    }

    fn feel_all(&self, secret: &str) -> io::Result<()> {
        const NOW: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let is_touched = || match self.descriptor() {
            Some(descriptor) => {
                let mut one = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
                rustix::event::poll(&mut one, Some(&NOW)).map(|ready| ready > 0)
            }
            None => Ok(false),
        };
        while is_touched()? {
            self.feel(secret)?;
        }
        if let Self::SysvQueue(id) = self {
            let mut message = [0_u8; 264];
            let flags = libc::IPC_NOWAIT as usize;
            let place = sys::at_mut(&mut message);
            while sys::call(libc::SYS_msgrcv, &[*id, place, 256, 0, flags]).is_ok() {
                touched("by its SysV queue");
            }
        }
        Ok(())
    }

    /// Takes one touch, tells of it, and answers with the secret where it can. Whoever has gone again meanwhile has
    /// touched it all the same.
    fn feel(&self, secret: &str) -> io::Result<()> {
        match self {
            Self::Signals(own) => {
                let mut signal = [0; 128];
                rustix::io::read(own, &mut signal)?;
                touched(format_args!("by signal {}", signal[0]));
            }
            Self::Stream(listener) => {
                if let Ok((mut stream, from)) = listener.accept() {
                    touched(format_args!("over TCP from {from}"));
                    let _ = stream.write_all(secret.as_bytes());
                }
            }
            Self::Datagrams(socket) => {
                let mut buffer = [0; 65536];
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    touched(format_args!("over UDP from {from}, {length} bytes"));
                    let _ = socket.send_to(secret.as_bytes(), from);
                }
            }
            Self::Socket(listener, what) => {
                if let Ok((mut stream, _)) = listener.accept() {
                    touched(format_args!("by {what}"));
                    let _ = stream.write_all(secret.as_bytes());
                }
            }
            Self::Pipe(file) => {
                let mut file = file;
                let length = file.read(&mut [0; 4096])?;
                touched(format_args!("by its FIFO, {length} bytes"));
            }
            Self::Queue(own) => {
                let mut message = [0_u8; 8192];
                let length = message.len();
                sys::call(
                    libc::SYS_mq_timedreceive,
                    &[own.as_raw_fd() as usize, sys::at_mut(&mut message), length],
                )?;
                touched("by its POSIX queue");
            }
            Self::SysvQueue(_) => {}
        }
        Ok(())
    }
}
