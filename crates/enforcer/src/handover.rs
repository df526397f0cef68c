//! The descriptors a launcher hands over, checked one by one: nothing of the host, nothing of another compartment,
//! nothing that is not what it is said to be.

use std::io;
use std::os::fd::OwnedFd;

use ringfence_compartment::inspect::{self, InspectError, NamespaceCookie};
use ringfence_compartment::link::Socket;

use crate::closing::Held;
use crate::door::tcp::TcpDoor;
use crate::door::udp::UdpDoor;
use crate::inbound::{Kind, Pool};
use crate::limits::INBOUND_POOL_MAX;

/// What has been handed over so far.
pub(crate) struct Handover {
    host: NamespaceCookie,
    shared: bool,
    namespace: Option<NamespaceCookie>,
    doors: [Option<OwnedFd>; 6],
    armed: bool,
}

/// All doors of a compartment.
pub(crate) struct Doors {
    /// Where its connections arrive.
    pub(crate) tcp: [TcpDoor; 2],
    /// Where its datagrams arrive.
    pub(crate) udp: [UdpDoor; 2],
    /// The namespace all of them are of.
    pub(crate) namespace: NamespaceCookie,
}

/// Why a handover is not accepted. The launcher is told, its compartment does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Improper {
    /// As many as were announced must come.
    #[error("{announced} sockets were announced and {came} came")]
    Count {
        /// In the message.
        announced: usize,
        /// Beside it.
        came: usize,
    },
    /// It is something else, or of the host.
    #[error("{0}")]
    Inspect(#[from] InspectError),
    /// All sockets of a compartment are of one namespace.
    #[error(
        "a descriptor handed over as {0:?} is of another network namespace than the ones before"
    )]
    OtherNamespace(Socket),
    /// Doors are handed over once, before arming.
    #[error("a second {0:?} was handed over")]
    Second(Socket),
    /// All six are needed.
    #[error("{0:?} was not handed over")]
    Lacking(Socket),
    /// More than can be of use.
    #[error("more than {INBOUND_POOL_MAX} unused inbound sockets of one kind were handed over")]
    TooManyInbound,
    /// The runtime would not take it.
    #[error("a door could not be watched: {0}")]
    Watch(#[from] io::Error),
}

const DOORS: [Socket; 6] = [
    Socket::TcpDoor4,
    Socket::TcpDoor6,
    Socket::UdpDoor4,
    Socket::UdpDoor6,
    Socket::Answer4,
    Socket::Answer6,
];

impl Handover {
    /// Nothing yet. Sockets of the namespace `host` are refused. `shared`: the launcher is another user's.
    pub(crate) fn new(host: NamespaceCookie, shared: bool) -> Self {
        Self {
            host,
            shared,
            namespace: None,
            doors: Default::default(),
            armed: false,
        }
    }

    /// Takes what one message brought.
    pub(crate) fn take(
        &mut self,
        sockets: &[Socket],
        descriptors: Vec<OwnedFd>,
        inbound: &Pool,
    ) -> Result<(), Improper> {
        let came = descriptors.len();
        // In whatever way this ends, none of them is closed where others would wait for it.
        let mut left = Held::new(self.shared, descriptors);
        if sockets.len() != came {
            return Err(Improper::Count {
                announced: sockets.len(),
                came,
            });
        }
        // From the last on, as they are taken off the end.
        for &socket in sockets.iter().rev() {
            let Some(descriptor) = left.pop() else {
                break;
            };
            if let Err(improper) = self.inspect(socket, &descriptor) {
                left.push(descriptor);
                return Err(improper);
            }
            let kind = match socket {
                Socket::Inbound4 => Kind::Tcp4,
                Socket::Inbound6 => Kind::Tcp6,
                Socket::InboundUdp4 => Kind::Udp4,
                Socket::InboundUdp6 => Kind::Udp6,
                door => {
                    self.door(door, descriptor)?;
                    continue;
                }
            };
            inbound
                .put(kind, descriptor)
                .map_err(|_| Improper::TooManyInbound)?;
        }
        Ok(())
    }

    fn inspect(&mut self, socket: Socket, descriptor: &OwnedFd) -> Result<(), Improper> {
        let namespace = inspect::check(socket, descriptor, self.host)?;
        if *self.namespace.get_or_insert(namespace) != namespace {
            return Err(Improper::OtherNamespace(socket));
        }
        Ok(())
    }

    fn door(&mut self, socket: Socket, descriptor: OwnedFd) -> Result<(), Improper> {
        let place = DOORS.iter().position(|&door| door == socket);
        match place.and_then(|place| self.doors.get_mut(place)) {
            Some(place @ None) if !self.armed => {
                *place = Some(descriptor);
                Ok(())
            }
            _ => {
                drop(Held::new(self.shared, vec![descriptor]));
                Err(Improper::Second(socket))
            }
        }
    }

    /// Gives out the doors, which must be complete. Afterwards only inbound sockets are taken.
    pub(crate) fn arm(&mut self) -> Result<Doors, Improper> {
        self.armed = true;
        let [tcp4, tcp6, udp4, udp6, answer4, answer6] = std::mem::take(&mut self.doors);
        let there = |socket, door: Option<OwnedFd>| door.ok_or(Improper::Lacking(socket));
        let tcp4 = there(Socket::TcpDoor4, tcp4)?;
        let tcp6 = there(Socket::TcpDoor6, tcp6)?;
        let udp4 = there(Socket::UdpDoor4, udp4)?;
        let udp6 = there(Socket::UdpDoor6, udp6)?;
        let answer4 = there(Socket::Answer4, answer4)?;
        let answer6 = there(Socket::Answer6, answer6)?;
        let namespace = self.namespace.ok_or(Improper::Lacking(Socket::TcpDoor4))?;
        Ok(Doors {
            tcp: [
                TcpDoor::new(tcp4, self.shared)?,
                TcpDoor::new(tcp6, self.shared)?,
            ],
            udp: [UdpDoor::new(udp4, answer4)?, UdpDoor::new(udp6, answer6)?],
            namespace,
        })
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        let doors = std::mem::take(&mut self.doors);
        drop(Held::new(
            self.shared,
            doors.into_iter().flatten().collect(),
        ));
    }
}

#[cfg(test)]
mod tests;
