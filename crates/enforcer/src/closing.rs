//! Closing sockets that a launcher of another user holds too.
//!
//! Closing waits for the other end where the launcher asked for that (`SO_LINGER`, a property of the open file), when ours
//! is the last descriptor. No thread that serves others may wait so.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt;

use crate::limits::APART_STACK;

/// Closes `sockets` in a thread of its own, which nobody waits for. They are told not to linger first: what is left of
/// the danger is a launcher that asks for it again in this very moment.
pub(crate) fn aside<S: AsFd + Send + 'static>(sockets: Vec<S>) {
    if sockets.is_empty() {
        return;
    }
    for socket in &sockets {
        // A reset is no waiting. An error is one of a socket that has no such option.
        if !matches!(sockopt::socket_linger(socket), Ok(Some(Duration::ZERO))) {
            let _no_such_option = sockopt::set_socket_linger(socket, None);
        }
    }
    // Without a thread to spare they are closed here and now.
    let _closed_either_way = std::thread::Builder::new()
        .name("closing".to_owned())
        .stack_size(APART_STACK)
        .spawn(move || drop(sockets));
}

/// Sockets of one launcher, closed [`aside`] when dropped if it is another user's.
pub(crate) struct Held {
    shared: bool,
    sockets: Vec<OwnedFd>,
}

impl Held {
    /// `shared`: the launcher is another user's.
    pub(crate) fn new(shared: bool, sockets: Vec<OwnedFd>) -> Self {
        Self { shared, sockets }
    }

    /// The last of them.
    pub(crate) fn pop(&mut self) -> Option<OwnedFd> {
        self.sockets.pop()
    }

    /// One more.
    pub(crate) fn push(&mut self, socket: OwnedFd) {
        self.sockets.push(socket);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.shared {
            aside(std::mem::take(&mut self.sockets));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    use super::*;

    /// Lingers for an hour over what nobody reads.
    fn lingering() -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 65_536]).is_ok() {}
        sockopt::set_socket_linger(&stream, Some(Duration::from_secs(3600))).unwrap();
        (listener, stream)
    }

    #[test]
    fn nobody_waits_for_a_socket_that_lingers() {
        let (_unread, stream) = lingering();
        let begun = Instant::now();
        drop(Held::new(true, vec![stream.into()]));
        assert!(begun.elapsed() < Duration::from_secs(60));
        // The control: such a socket does wait, until its time is over.
        let (_unread, stream) = lingering();
        sockopt::set_socket_linger(&stream, Some(Duration::from_secs(1))).unwrap();
        let begun = Instant::now();
        drop(Held::new(false, vec![stream.into()]));
        assert!(begun.elapsed() >= Duration::from_secs(1));
    }
}
