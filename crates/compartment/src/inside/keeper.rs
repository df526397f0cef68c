//! The keeper: makes marked sockets in a compartment's network, long after everyone inside lost the right to.
//!
//! A copy of the launcher that entered the user and network namespaces of the compartment, but not its process
//! or mount namespace: no one inside can see it. It kept `CAP_NET_ADMIN` (for the mark) and a handful of system calls,
//! and ends with the launcher.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::thread::{CapabilitySet, LinkNameSpaceType, move_into_link_name_space};

use super::talk::{FromKeeper, ToKeeper};
use crate::link::{DESCRIPTORS_MAX, Socket};
use crate::{channel, doors, privileges, seccomp, sys};

/// A running keeper.
pub(crate) struct Keeper {
    /// Where it is asked, and answers.
    pub(crate) channel: OwnedFd,
}

impl Keeper {
    /// Takes the launcher's end.
    fn over(channel: OwnedFd) -> io::Result<Self> {
        // An enforcer that asks for sockets without end must not hold up the answers to system calls.
        let flags = rustix::fs::fcntl_getfl(&channel)?;
        rustix::fs::fcntl_setfl(&channel, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self { channel })
    }

    /// Orders sockets, unless the keeper has all it can do, or is gone: then fewer are made, and whoever needs them asks
    /// again. Whether they were ordered.
    pub(crate) fn order(&self, request: &ToKeeper) -> bool {
        channel::send(&self.channel, request, &[]).is_ok()
    }
}

/// The namespaces a keeper enters.
pub(crate) struct Namespaces {
    /// The compartment's.
    pub(crate) user: OwnedFd,
    /// As its init opened it.
    pub(crate) network: OwnedFd,
}

/// Starts one. `id` is what it runs as, inside the user namespace.
pub(crate) fn start(namespaces: &Namespaces, id: (u32, u32)) -> io::Result<Keeper> {
    let (channel, far) = channel::pair()?;
    match sys::clone_process(0)? {
        sys::Cloned::Parent { .. } => Keeper::over(channel),
        sys::Cloned::Child => {
            drop(channel);
            // Any failure ends it: the launcher sees the channel close.
            let _ = enter(namespaces, id, &far).and_then(|()| serve(far.as_fd()));
            sys::exit_now(1)
        }
    }
}

fn enter(namespaces: &Namespaces, (uid, gid): (u32, u32), channel: &OwnedFd) -> io::Result<()> {
    rustix::process::setsid()?;
    move_into_link_name_space(namespaces.user.as_fd(), Some(LinkNameSpaceType::User))?;
    move_into_link_name_space(namespaces.network.as_fd(), Some(LinkNameSpaceType::Network))?;
    privileges::become_user(uid, gid)?;
    privileges::drop_all_but(CapabilitySet::NET_ADMIN)?;
    privileges::close_to_others()?;
    privileges::die_with_parent()?;
    sys::close_all_but(&[channel.as_raw_fd()])?;
    sys::install_filter(&seccomp::keeper_program())
}

fn serve(channel: BorrowedFd<'_>) -> io::Result<()> {
    while let Some(request) = channel::recv::<ToKeeper>(channel)? {
        let ToKeeper {
            inbound4,
            inbound6,
            udp4,
            udp6,
        } = request.message;
        let wanted = [
            (Socket::Inbound4, inbound4),
            (Socket::Inbound6, inbound6),
            (Socket::InboundUdp4, udp4),
            (Socket::InboundUdp6, udp6),
        ]
        .into_iter()
        .flat_map(|(socket, count)| (0..count).map(move |_| socket))
        .take(DESCRIPTORS_MAX);
        let made: Vec<(Socket, OwnedFd)> = wanted
            .map_while(|socket| doors::make(socket).ok().map(|made| (socket, made)))
            .collect();
        let descriptors: Vec<_> = made
            .iter()
            .map(|(_, descriptor)| descriptor.as_fd())
            .collect();
        let sockets = made.iter().map(|(socket, _)| *socket).collect();
        channel::send(channel, &FromKeeper { sockets }, &descriptors)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_keeper_that_does_not_keep_up_holds_nobody_up() {
        let (near, _far) = channel::pair().unwrap();
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let keeper = Keeper::over(near).unwrap();
            let request = ToKeeper {
                inbound4: 1,
                inbound6: 0,
                udp4: 0,
                udp6: 0,
            };
            let ordered = (0..100_000).take_while(|_| keeper.order(&request)).count();
            done.send(ordered).unwrap();
        });
        let ordered = ended.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!((1..100_000).contains(&ordered), "{ordered}");
    }
}
