//! Bytes from one socket to another inside the kernel, where nobody reads them: no copy out, no copy in.
//!
//! A pipe is between the two. A worker thread has one for all its connections, and it is empty whenever it is put back: what the
//! other socket does not take is read out of it at once, and a pipe of which that is not certain is closed. So no byte of
//! one connection can turn up in another, and a connection needs no descriptor more.
//!
//! Whether there is more to come, whether a side has ended and what urgent data hides is not asked here: a call that moves
//! nothing says no more than that, and the caller reads in the ordinary way.

use std::cell::Cell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

/// One side of a relayed connection.
pub(crate) trait Side {
    /// Its socket, provided that bytes are the same on it as above it, and that no call on it can wait.
    fn socket(&self) -> Option<BorrowedFd<'_>>;
}

impl Side for tokio::net::TcpStream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(std::os::fd::AsFd::as_fd(self))
    }
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn new() -> Option<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        Some(Self { read, write })
    }
}

thread_local! {
    /// Empty.
    static PIPE: Cell<Option<Pipe>> = const { Cell::new(None) };
}

/// What became of a try.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Bytes that the second socket has taken.
    pub(crate) count: usize,
    /// It takes no more for now, or never again: that is for the next write to find out.
    pub(crate) stuck: bool,
}

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// Moves up to `most` bytes; what the second socket does not take is put behind what is in `kept`. An error is the end of
/// the connection: bytes of it are lost.
pub(crate) fn shift(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    most: usize,
    kept: &mut Vec<u8>,
) -> io::Result<Moved> {
    // Without a descriptor for a pipe, and where a kernel cannot do it: in the ordinary way.
    let Some(pipe) = PIPE.take().or_else(Pipe::new) else {
        return Ok(Moved::default());
    };
    let Ok(taken) = splice(from, None, &pipe.write, None, most, FLAGS) else {
        PIPE.set(Some(pipe));
        return Ok(Moved::default());
    };
    let mut moved = Moved::default();
    while moved.count < taken {
        match splice(&pipe.read, None, to, None, taken - moved.count, FLAGS) {
            Ok(count @ 1..) => moved.count += count,
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => {
                moved.stuck = true;
                empty(&pipe, taken - moved.count, kept)?;
                break;
            }
        }
    }
    PIPE.set(Some(pipe));
    Ok(moved)
}

/// Reads `left` bytes, which are all there are.
fn empty(pipe: &Pipe, left: usize, kept: &mut Vec<u8>) -> io::Result<()> {
    let start = kept.len();
    kept.resize(start + left, 0);
    let mut at = start;
    while let Some(room) = kept.get_mut(at..).filter(|room| !room.is_empty()) {
        match rustix::io::read(&pipe.read, room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => at += count,
            Err(Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
