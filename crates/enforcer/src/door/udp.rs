//! UDP at the door: DNS is answered, everything else meets silence and is recorded.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringfence_compartment::address::{DNS_PORT, is_door};
use ringfence_compartment::datagram::{Received, recv_original, send_from};
use ringfence_model::flow::Kind;
use ringfence_wire::dns::Transport;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::compartment::Compartment;
use crate::door::dns;
use crate::judge::{self, Denied};
use crate::limits::{DATAGRAMS_PER_TURN, DNS_DATAGRAM};
use crate::node::Node;
use crate::record::Ruling;

/// One UDP door, with the socket that answers DNS for it.
pub(crate) struct UdpDoor {
    door: UdpSocket,
    reply: OwnedFd,
}

impl UdpDoor {
    /// Takes the two sockets, checked.
    pub(crate) fn new(door: OwnedFd, reply: OwnedFd) -> io::Result<Self> {
        let door = std::net::UdpSocket::from(door);
        door.set_nonblocking(true)?;
        rustix::io::ioctl_fionbio(&reply, true)?;
        Ok(Self {
            door: UdpSocket::from_std(door)?,
            reply,
        })
    }
}

/// Takes datagrams until dropped. Returns only when the door itself is broken.
pub(crate) async fn watch(node: Arc<Node>, home: Arc<Compartment>, door: UdpDoor) -> io::Error {
    let mut buffer = vec![0; DNS_DATAGRAM];
    let socket = &door.door;
    loop {
        if let Err(cause) = socket.readable().await {
            return cause;
        }
        for _ in 0..DATAGRAMS_PER_TURN {
            match socket.try_io(Interest::READABLE, || recv_original(socket, &mut buffer)) {
                Ok(received) => arrive(&node, &home, &door.reply, &received, &buffer),
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => break,
                Err(cause) if is_of_one_datagram(&cause) => {}
                Err(cause) => return cause,
            }
        }
        tokio::task::yield_now().await;
    }
}

/// An error left by an earlier answer (an ICMP that came back), or a datagram that could not be read.
fn is_of_one_datagram(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    const OF_ONE: [Errno; 8] = [
        Errno::CONNREFUSED,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::INTR,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::MSGSIZE,
        Errno::PERM,
    ];
    cause.kind() == io::ErrorKind::InvalidData
        || Errno::from_io_error(cause).is_some_and(|errno| OF_ONE.contains(&errno))
}

fn arrive(node: &Node, home: &Compartment, reply: &OwnedFd, received: &Received, buffer: &[u8]) {
    let asked = received.destination;
    let to_door = is_door(asked.socket_addr());
    if asked.port() != DNS_PORT || to_door {
        return silence(node, home, received);
    }
    let length = received.length.min(buffer.len());
    // What was cut is no whole query, and is read as such: a message that ends too early.
    let message = &buffer[..length];
    let answer = dns::answer(node, home, asked, "", message, Transport::Udp);
    if let Some(answer) = answer
        && !received.cut
    {
        // UDP promises nothing: an asker whose answer finds no room asks again.
        let _lost_like_any_datagram = send_from(reply, &answer, asked.ip(), received.source);
    }
}

pub(super) fn silence(node: &Node, home: &Compartment, received: &Received) {
    let force = node.current.load();
    let snapshot = &force.snapshot;
    let original = received.destination;
    let mut subject = home.subject(&force.node, original, "udp");
    let to = judge::pair(snapshot, &home.workload, original)
        .map_or_else(|Denied { to, .. }| to, |pair| Some(pair.to));
    if let Some(to) = to {
        subject.destination = snapshot.workload(to).id.name.to_string();
    }
    let ruling = Ruling::without_rule("no workload speaks udp".to_owned(), snapshot.generation());
    home.refused(
        &subject,
        Kind::Connection,
        "send",
        &ruling,
        received.source.port(),
    );
}
