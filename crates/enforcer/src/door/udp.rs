//! UDP at the door: DNS is answered here, other datagrams join their flow or begin one.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringfence_compartment::address::{DNS_PORT, is_door};
use ringfence_compartment::datagram::{DATAGRAM_MAX, Received, recv_original, send_from};
use ringfence_wire::dns::Transport;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::cause::Cause;
use crate::compartment::Compartment;
use crate::datagrams::{self, Key, Timeouts};
use crate::door::dns;
use crate::limits::{DATAGRAMS_PER_TURN, DNS_DATAGRAM};
use crate::node::Node;

thread_local! {
    /// One byte more than any datagram has: none is ever cut.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; DATAGRAM_MAX + 1].into_boxed_slice());
}

/// One UDP door, with the socket that answers for it.
pub(crate) struct UdpDoor {
    door: UdpSocket,
    answers: Arc<OwnedFd>,
}

impl UdpDoor {
    /// Takes the two sockets, checked.
    pub(crate) fn new(door: OwnedFd, answers: OwnedFd) -> io::Result<Self> {
        let door = std::net::UdpSocket::from(door);
        door.set_nonblocking(true)?;
        rustix::io::ioctl_fionbio(&answers, true)?;
        Ok(Self {
            door: UdpSocket::from_std(door)?,
            answers: Arc::new(answers),
        })
    }
}

/// Takes datagrams until dropped. Returns only when the door itself is broken.
pub(crate) async fn watch(node: Arc<Node>, home: Arc<Compartment>, door: UdpDoor) -> io::Error {
    let socket = &door.door;
    loop {
        if let Err(cause) = socket.readable().await {
            return cause;
        }
        for _ in 0..DATAGRAMS_PER_TURN {
            let taken = SCRATCH.with_borrow_mut(|scratch| {
                let received =
                    socket.try_io(Interest::READABLE, || recv_original(socket, scratch))?;
                arrive(&node, &home, &door.answers, &received, scratch);
                Ok::<_, io::Error>(())
            });
            match taken {
                Ok(()) => {}
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => break,
                Err(cause) if is_of_one_datagram(&cause) => {}
                Err(cause) => return cause,
            }
        }
        tokio::task::yield_now().await;
    }
}

/// An error left by an earlier datagram (an ICMP that came back), or a datagram that could not be read.
pub(crate) fn is_of_one_datagram(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    const OF_ONE: [Errno; 11] = [
        Errno::CONNREFUSED,
        Errno::HOSTUNREACH,
        Errno::HOSTDOWN,
        Errno::NETUNREACH,
        Errno::INTR,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::MSGSIZE,
        Errno::NOPROTOOPT,
        Errno::ACCESS,
        Errno::PERM,
    ];
    cause.kind() == io::ErrorKind::InvalidData
        || Errno::from_io_error(cause).is_some_and(|errno| OF_ONE.contains(&errno))
}

/// Deals with one datagram, the first bytes of `buffer`.
pub(crate) fn arrive(
    node: &Arc<Node>,
    home: &Arc<Compartment>,
    answers: &Arc<OwnedFd>,
    received: &Received,
    buffer: &[u8],
) {
    let asked = received.destination;
    let key = Key {
        client: received.source,
        original: asked,
    };
    // The mark keeps what is ours from the doors. Should it not, nothing may come of it: an answer to an answer, for ever.
    if is_door(received.source) || home.inbound.is_own(received.source) {
        let reason = "it came from the enforcer's own address".to_owned();
        return datagrams::refuse(node, home, key, Cause::OwnDoor, reason);
    }
    let payload = &buffer[..received.length.min(buffer.len())];
    if asked.port() == DNS_PORT && !is_door(asked.socket_addr()) {
        return resolve(node, home, answers, received, payload);
    }
    if received.cut {
        let reason = "it is longer than any datagram".to_owned();
        return datagrams::refuse(node, home, key, Cause::Malformed, reason);
    }
    datagrams::receive(node, home, answers, key, payload, Timeouts::STANDARD);
}

fn resolve(
    node: &Node,
    home: &Compartment,
    answers: &OwnedFd,
    received: &Received,
    payload: &[u8],
) {
    let asked = received.destination;
    // What is cut is no whole query, and is read as such: a message that ends too early.
    let cut = received.cut || payload.len() > DNS_DATAGRAM;
    let message = &payload[..payload.len().min(DNS_DATAGRAM)];
    let answer = dns::answer(node, home, asked, "", message, Transport::Udp);
    if let Some(answer) = answer
        && !cut
    {
        // UDP promises nothing: an asker whose answer finds no room asks again.
        let _lost_like_any_datagram =
            send_from(answers, &answer, asked.socket_addr(), received.source);
    }
}
