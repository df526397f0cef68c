//! Between a launcher of another user and the enforcer: takes what the launcher sends, and passes on what is harmless
//! to hold.
//!
//! Whoever receives a descriptor has to close it, and closing a file asks its file system, which may be a process of
//! the user who sent it (FUSE) and never answer; not even `SIGKILL` ends that. Before it has arrived nobody can tell. So it
//! arrives here, in a process that holds nothing else and that nobody waits for. Sockets of the Internet families go on;
//! with anything else the message goes on alone, and after it one that nobody can read: the enforcer refuses the first or
//! the second.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvFlags, Shutdown};

use crate::channel::{self, Taken};
use crate::link::MESSAGE_MAX;
use crate::sys;

/// No message: whoever hears it ends the conversation.
const UNREADABLE: &[u8] = b"cut";

/// Carries messages until one side has gone. Then both sides are told, and the process is to exit: what it holds may
/// not be closed in any other way.
pub fn carry(launcher: &OwnedFd, enforcer: &OwnedFd) -> io::Result<()> {
    let carried = carry_on(launcher, enforcer);
    for side in [launcher, enforcer] {
        // It may be gone, which is all that it would be told.
        let _ = rustix::net::shutdown(side, Shutdown::Both);
    }
    carried
}

fn carry_on(launcher: &OwnedFd, enforcer: &OwnedFd) -> io::Result<()> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let mut hearing = true;
    loop {
        let mut waiting = [
            PollFd::new(enforcer, PollFlags::IN),
            PollFd::new(launcher, PollFlags::IN),
        ];
        let waiting = &mut waiting[..if hearing { 2 } else { 1 }];
        match rustix::event::poll(waiting, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(cause) => return Err(cause.into()),
        }
        let ready: Vec<bool> = waiting
            .iter()
            .map(|side| !side.revents().is_empty())
            .collect();
        if ready.first() == Some(&true) && !outward(enforcer, launcher, &mut bytes)? {
            return Ok(());
        }
        if ready.get(1) == Some(&true) {
            match inward(launcher, enforcer, &mut bytes)? {
                Heard::Message => {}
                Heard::End => return Ok(()),
                // The enforcer's answer to it is still to be passed on.
                Heard::Improper => hearing = false,
            }
        }
    }
}

/// What came from a launcher.
enum Heard {
    Message,
    /// Nothing, and nothing will.
    End,
    /// What is not to be had from an honest one.
    Improper,
}

fn inward(launcher: &OwnedFd, enforcer: &OwnedFd, bytes: &mut [u8]) -> io::Result<Heard> {
    let taken = match channel::take_all(launcher, RecvFlags::DONTWAIT, bytes) {
        Ok(taken) => taken,
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return Ok(Heard::Message),
        Err(cause) => return Err(cause),
    };
    if taken.is_cut() {
        keep(taken);
        channel::send_bytes(enforcer, UNREADABLE, &[])?;
        return Ok(Heard::Improper);
    }
    if taken.length == 0 {
        keep(taken);
        return Ok(Heard::End);
    }
    let message = &bytes[..taken.length];
    if !taken
        .descriptors
        .iter()
        .all(|it| is_of_the_internet(it.as_fd()))
    {
        keep(taken);
        channel::send_bytes(enforcer, message, &[])?;
        // Some messages have no descriptors to miss. It may have closed the link over this one already.
        let _ = channel::send_bytes(enforcer, UNREADABLE, &[]);
        return Ok(Heard::Improper);
    }
    let beside: Vec<BorrowedFd<'_>> = taken.descriptors.iter().map(AsFd::as_fd).collect();
    channel::send_bytes(enforcer, message, &beside)?;
    Ok(Heard::Message)
}

/// Passes on what the enforcer says. `false`: it has gone.
fn outward(enforcer: &OwnedFd, launcher: &OwnedFd, bytes: &mut [u8]) -> io::Result<bool> {
    match channel::take_all(enforcer, RecvFlags::DONTWAIT, bytes) {
        Ok(taken) if taken.length == 0 => Ok(false),
        Ok(taken) => channel::send_bytes(launcher, &bytes[..taken.length], &[]).map(|()| true),
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(cause) => Err(cause),
    }
}

/// Leaves descriptors to the end of the process: closing one may never return.
fn keep(taken: Taken) {
    taken.descriptors.into_iter().for_each(std::mem::forget);
}

/// Asked of the socket layer, which asks no file system. No other kind is closed without one.
fn is_of_the_internet(descriptor: BorrowedFd<'_>) -> bool {
    matches!(
        sys::option(descriptor, libc::SOL_SOCKET, libc::SO_DOMAIN),
        Ok(libc::AF_INET | libc::AF_INET6)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{pair, recv, send};

    /// A launcher and an enforcer, with a porter between them.
    fn between() -> (OwnedFd, OwnedFd, std::thread::JoinHandle<io::Result<()>>) {
        let (launcher, near) = pair().unwrap();
        let (far, enforcer) = pair().unwrap();
        let porter = std::thread::spawn(move || carry(&near, &far));
        (launcher, enforcer, porter)
    }

    #[test]
    fn carries_sockets_of_the_internet_and_words_both_ways() {
        let (launcher, enforcer, porter) = between();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        send(&launcher, &"door", &[socket.as_fd()]).unwrap();
        let packet = recv::<String>(&enforcer).unwrap().unwrap();
        assert_eq!(packet.message, "door");
        let there = std::net::UdpSocket::from(packet.descriptors.into_iter().next().unwrap());
        assert_eq!(there.local_addr().unwrap(), socket.local_addr().unwrap());
        send(&enforcer, &"armed", &[socket.as_fd()]).unwrap();
        let packet = recv::<String>(&launcher).unwrap().unwrap();
        assert_eq!(
            (packet.message.as_str(), packet.descriptors.len()),
            ("armed", 0)
        );
        drop(launcher);
        assert!(recv::<String>(&enforcer).unwrap().is_none());
        porter.join().unwrap().unwrap();
    }

    #[test]
    fn keeps_everything_else_and_lets_the_enforcer_answer() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let (_held, unix) = pair().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for beside in [vec![file.as_fd()], vec![socket.as_fd(), unix.as_fd()]] {
            let (launcher, enforcer, porter) = between();
            send(&launcher, &"doors", &beside).unwrap();
            send(&launcher, &"more", &[]).unwrap();
            let packet = recv::<String>(&enforcer).unwrap().unwrap();
            assert_eq!(
                (packet.message.as_str(), packet.descriptors.len()),
                ("doors", 0)
            );
            send(&enforcer, &"no", &[]).unwrap();
            assert_eq!(recv::<String>(&launcher).unwrap().unwrap().message, "no");
            let after = recv::<String>(&enforcer).unwrap_err();
            assert_eq!(after.kind(), io::ErrorKind::InvalidData);
            let after = channel::try_recv::<String>(&enforcer).unwrap_err();
            assert_eq!(after.kind(), io::ErrorKind::WouldBlock);
            drop(enforcer);
            assert!(recv::<String>(&launcher).unwrap().is_none());
            porter.join().unwrap().unwrap();
        }
    }

    #[test]
    fn what_is_cut_is_not_carried() {
        let (launcher, enforcer, porter) = between();
        let huge = vec![b'x'; MESSAGE_MAX + 1];
        rustix::net::send(&launcher, &huge, rustix::net::SendFlags::empty()).unwrap();
        let cause = recv::<String>(&enforcer).unwrap_err();
        assert_eq!(cause.kind(), io::ErrorKind::InvalidData);
        drop(enforcer);
        porter.join().unwrap().unwrap();
    }
}
