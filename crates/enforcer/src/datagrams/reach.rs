//! Where the receiver of a flow is, and the socket that leads there.
//!
//! A datagram cannot ask whether anybody listens: the kernel's word that nobody does comes back as an error. So the
//! places a workload may listen at are tried with the datagram itself, one after another, until none is refused. The
//! order is fixed, for the answer's sake: a workload that listens on all addresses answers from 127.0.0.1 over IPv4
//! and from its own address over IPv6, and only there is the answer expected.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::connection::Connection;
use crate::far::{Far, Way};
use crate::inbound::{Kind, Own};

/// One place where the receiver may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its address and port.
    pub(crate) to: SocketAddr,
    /// The caller's virtual address, to send from; `None` towards an endpoint.
    pub(crate) from: Option<IpAddr>,
    /// Which endpoint it is of.
    pub(crate) endpoint: Option<usize>,
}

impl Place {
    /// Where a workload may listen, in the order they are tried.
    pub(crate) fn inside(way: &Way) -> Vec<Self> {
        let v4 = Some(IpAddr::from(way.caller.v4));
        let v6 = Some(IpAddr::from(way.caller.v6));
        let places: [(IpAddr, _); 4] = [
            (Ipv4Addr::LOCALHOST.into(), v4),
            (way.callee.v4.into(), v4),
            (way.callee.v6.into(), v6),
            (Ipv6Addr::LOCALHOST.into(), v6),
        ];
        let place = |(ip, from)| Self {
            to: SocketAddr::new(ip, way.port),
            from,
            endpoint: None,
        };
        places.map(place).into()
    }
}

/// The way of one flow to its receiver.
pub(super) struct Reach<'c> {
    connection: &'c Connection,
    /// Those that were found up to now: a host name is not asked for before it is needed.
    places: Vec<Place>,
    /// Parts of the far end that were asked for their places.
    parts: usize,
    /// Index of the place that was tried last.
    at: usize,
    socket: Option<Socket>,
}

/// A connected socket. What it sends from is known as ours in the receiver's compartment as long as it lives.
struct Socket {
    socket: UdpSocket,
    to: SocketAddr,
    _own: Option<Own>,
}

impl<'c> Reach<'c> {
    /// Looks for nothing yet.
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            places: Vec::new(),
            parts: 0,
            at: 0,
            socket: None,
        }
    }

    /// Sends `payload` whole to the place in use, or, where nobody listens, to the next that somebody does at. An
    /// error is the last place's: none has taken it. At most one place does.
    pub(super) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        if let Some(&place) = self.places.get(self.at)
            && self.send_to(place, payload).await.is_ok()
        {
            return Ok(());
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        let mut at = 0;
        loop {
            while let Some(&place) = self.places.get(at) {
                self.at = at;
                match self.send_to(place, payload).await {
                    Ok(()) => return Ok(()),
                    // No socket came, for another place as little.
                    Err(cause) if cause.kind() == io::ErrorKind::TimedOut => return Err(cause),
                    Err(cause) => last = cause,
                }
                at += 1;
            }
            match self.connection.places(self.parts).await {
                Some(Ok(more)) => self.places.extend(more),
                Some(Err(cause)) => last = cause,
                // The next datagram finds what may have changed by then.
                None => {
                    if self.places.is_empty() {
                        self.parts = 0;
                    }
                    return Err(last);
                }
            }
            self.parts += 1;
        }
    }

    /// Whether word has come that nobody listened for what was sent before. Said once.
    pub(super) fn was_refused(&self) -> bool {
        let said = self
            .socket
            .as_ref()
            .map(|socket| socket.socket.take_error());
        matches!(said, Some(Ok(Some(_)) | Err(_)))
    }

    async fn send_to(&mut self, place: Place, payload: &[u8]) -> io::Result<()> {
        self.connect(place).await?;
        let Some(Socket { socket, .. }) = &self.socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        // Of an earlier datagram, which cannot be helped any more.
        let _of_another = socket.take_error()?;
        let sent = socket.async_io(Interest::WRITABLE, || {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            Ok(rustix::net::send(socket, payload, flags)?)
        });
        sent.await?;
        // On this host the kernel refuses before the call above returns.
        match socket.take_error()? {
            Some(refused) => Err(refused),
            None => Ok(()),
        }
    }

    async fn connect(&mut self, place: Place) -> io::Result<()> {
        let (to, connection) = (place.to, self.connection);
        match &mut self.socket {
            Some(socket) if socket.to == to => return Ok(()),
            Some(socket) if socket.to.is_ipv4() == to.is_ipv4() => {
                socket.socket.connect(to).await?;
                socket.to = to;
            }
            other => {
                *other = None;
                *other = Some(Socket::new(connection, place).await?);
            }
        }
        if let (Some(endpoint), Some(far)) = (place.endpoint, connection.far()) {
            far.chose_endpoint(endpoint);
        }
        Ok(())
    }

    /// Resolves when something may have come back; never before anything was sent.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.socket {
            Some(socket) => socket.socket.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Takes what came back, if something did.
    pub(super) fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.socket {
            // The mode of the socket may be another user's to change: the call itself must not wait.
            Some(Socket { socket, .. }) => socket.try_io(Interest::READABLE, || {
                let (count, _) = rustix::net::recv(socket, &mut *buffer, RecvFlags::DONTWAIT)?;
                Ok(count)
            }),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Socket {
    async fn new(connection: &Connection, place: Place) -> io::Result<Self> {
        let compartment = connection.far().and_then(Far::compartment);
        let (socket, own) = match (place.from, compartment) {
            (Some(from), Some(compartment)) => {
                let kind = if place.to.is_ipv4() {
                    Kind::Udp4
                } else {
                    Kind::Udp6
                };
                let mut drawn = Vec::new();
                let socket = loop {
                    let born_inside = compartment.inbound.take(kind).await?;
                    rustix::net::bind(&born_inside, &SocketAddr::new(from, 0))?;
                    let socket = std::net::UdpSocket::from(born_inside);
                    // The port is the workload's to listen on. And with nobody there, the socket would hear itself.
                    if socket.local_addr()?.port() != place.to.port() {
                        break socket;
                    }
                    // Held until another is found, so that it is not drawn again.
                    drawn.push(socket);
                };
                let own = compartment.inbound.note_own(socket.local_addr()?);
                (socket, Some(own))
            }
            (None, None) => {
                let any: IpAddr = match place.to {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                (std::net::UdpSocket::bind(SocketAddr::new(any, 0))?, None)
            }
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        socket.connect(place.to).await?;
        Ok(Self {
            socket,
            to: place.to,
            _own: own,
        })
    }
}
