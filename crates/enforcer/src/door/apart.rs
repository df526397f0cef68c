//! A TCP door that another user's launcher shares: accepted at in a thread of its own.
//!
//! Launcher and enforcer hold one open file. Whether `accept` waits is a flag of that file, which the launcher may clear
//! between our look and our call, and take the connection that we were told of: then the call waits, for as long as the
//! launcher likes. There is no flag of the call itself that forbids it. So the call is made where nothing else waits for
//! it, and a signal gets the thread out when the door is closed.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use ringfence_compartment::interrupt::interrupt;
use rustix::event::{PollFd, PollFlags};
use rustix::net::SocketFlags;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::door::tcp::is_want_of_resources;
use crate::limits::{ACCEPT_PAUSE, APART_QUEUE, APART_STACK, INTERRUPT_EVERY};

/// The door. Closed when dropped.
pub(crate) struct Apart {
    arrived: mpsc::Receiver<io::Result<(TcpStream, SocketAddr)>>,
    _thread: Thread,
}

impl Apart {
    /// Takes the door, and starts to accept.
    pub(crate) fn new(door: OwnedFd) -> io::Result<Self> {
        let (arrivals, arrived) = mpsc::channel(APART_QUEUE);
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let handle = std::thread::Builder::new()
            .name("door".to_owned())
            .stack_size(APART_STACK)
            .spawn(move || serve(&door, &stop, &arrivals))?;
        Ok(Self {
            arrived,
            _thread: Thread {
                stopped,
                handle: Some(handle),
            },
        })
    }

    /// The next connection. May be dropped and called again: nothing is lost.
    pub(crate) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let ended = || io::Error::other("its thread has ended");
        self.arrived.recv().await.ok_or_else(ended)?
    }
}

fn serve(
    door: &OwnedFd,
    stopped: &AtomicBool,
    arrivals: &mpsc::Sender<io::Result<(TcpStream, SocketAddr)>>,
) {
    while !stopped.load(Ordering::Acquire) {
        let arrival = match next(door) {
            Err(cause) if is_no_arrival(&cause) => continue,
            // Here, and not where it is told: an error for each try would fill the queue, and each of them cost a pause
            // when there is enough again.
            Err(cause) if is_want_of_resources(&cause) => {
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
            arrival => arrival,
        };
        if arrivals.blocking_send(arrival).is_err() {
            return;
        }
    }
}

/// Waits for one connection, or a signal.
fn next(door: &OwnedFd) -> io::Result<(TcpStream, SocketAddr)> {
    rustix::event::poll(&mut [PollFd::new(door, PollFlags::IN)], None)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (client, peer) = rustix::net::acceptfrom_with(door, flags)?;
    // Inherited from the door, where it is the launcher's to set: closing would wait for the other end.
    rustix::net::sockopt::set_socket_linger(&client, None)?;
    let peer = peer.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))?;
    let peer = SocketAddr::try_from(peer).map_err(io::Error::from)?;
    Ok((TcpStream::from(client), peer))
}

/// Interrupted, or somebody else took it.
fn is_no_arrival(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

/// Ends with this.
struct Thread {
    stopped: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        let Some(handle) = self.handle.take() else {
            return;
        };
        // Without a runtime the process is on its way out, and the thread with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                while !handle.is_finished() {
                    interrupt(&handle);
                    tokio::time::sleep(INTERRUPT_EVERY).await;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
