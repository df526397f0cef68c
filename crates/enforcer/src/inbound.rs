//! Into a compartment: from a socket that was born there, with the caller's virtual address as its source.
//!
//! Sockets for datagrams (`datagrams/reach.rs`) come from here too. Sockets are used once. The launcher refills the pool when told to (`FromEnforcer::Need`).

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_model::VirtualAddr;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::closing::Held;
use crate::inward::Inward;
use crate::limits::{CONNECT_TIMEOUT, INBOUND_POOL, INBOUND_POOL_MAX, INBOUND_WAIT};

/// What sort of inbound socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `Socket::Inbound4`.
    Tcp4,
    /// `Socket::Inbound6`.
    Tcp6,
    /// `Socket::InboundUdp4`.
    Udp4,
    /// `Socket::InboundUdp6`.
    Udp6,
}

/// Sockets ready for connections into one compartment.
pub(crate) struct Pool {
    shared: bool,
    shelves: [Shelf; 4],
    /// Where sockets for datagrams send from as long as they live.
    own: Arc<Mutex<HashSet<SocketAddr>>>,
    /// The launcher is to be asked for more.
    low: Notify,
    /// Where the workload listened the last time: an index into the order of [`Pool::dial`].
    listens: AtomicU8,
}

#[derive(Default)]
struct Shelf {
    stock: Mutex<Stock>,
    arrived: Notify,
}

#[derive(Default)]
struct Stock {
    sockets: Vec<OwnedFd>,
    /// Asked for and not there yet.
    ordered: usize,
}

/// More sockets than a launcher may leave unused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Pool {
    /// Empty. `shared`: the launcher is another user's.
    pub(crate) fn new(shared: bool) -> Self {
        Self {
            shared,
            shelves: Default::default(),
            own: Arc::default(),
            low: Notify::new(),
            listens: AtomicU8::new(0),
        }
    }

    /// Takes in a socket that was checked.
    pub(crate) fn put(&self, kind: Kind, socket: OwnedFd) -> Result<(), TooMany> {
        let shelf = self.shelf(kind);
        {
            let mut stock = shelf.stock();
            if stock.sockets.len() >= INBOUND_POOL_MAX {
                drop(Held::new(self.shared, vec![socket]));
                return Err(TooMany);
            }
            stock.ordered = stock.ordered.saturating_sub(1);
            stock.sockets.push(socket);
        }
        shelf.arrived.notify_one();
        Ok(())
    }

    /// How many of these kinds to order now. What is returned counts as ordered.
    pub(crate) fn order(&self, kinds: [Kind; 2]) -> [u32; 2] {
        kinds.map(|kind| self.shelf(kind).order())
    }

    /// Notes where a socket for datagrams sends from.
    pub(crate) fn note_own(&self, address: SocketAddr) -> Own {
        locked(&self.own).insert(address);
        Own {
            address,
            all: Arc::clone(&self.own),
        }
    }

    /// Whether a live socket of ours sends from `address`. No workload can: the port is taken.
    pub(crate) fn is_own(&self, address: SocketAddr) -> bool {
        locked(&self.own).contains(&address)
    }

    /// Resolves when [`Pool::order`] should be asked again.
    pub(crate) async fn low(&self) {
        self.low.notified().await;
    }

    /// Connects to the workload's `port`, as `caller`.
    ///
    /// A workload listens on loopback, on its own address or on all of them; each is tried, beginning with the one
    /// that worked before. `own` are the workload's own addresses.
    pub(crate) async fn dial(
        &self,
        caller: VirtualAddr,
        own: VirtualAddr,
        port: u16,
    ) -> io::Result<Inward> {
        let places: [IpAddr; 4] = [
            Ipv4Addr::LOCALHOST.into(),
            Ipv6Addr::LOCALHOST.into(),
            own.v4.into(),
            own.v6.into(),
        ];
        let first = usize::from(self.listens.load(Ordering::Relaxed)) % places.len();
        let order = std::iter::once(first).chain((0..places.len()).filter(|&at| at != first));
        let mut last = io::Error::from(io::ErrorKind::ConnectionRefused);
        for index in order {
            match self
                .dial_place(caller, SocketAddr::new(places[index], port))
                .await
            {
                Ok(stream) => {
                    self.listens.store(index as u8, Ordering::Relaxed);
                    return Ok(stream);
                }
                // Something listens there and does not answer: a second listener would be another program. Or there is
                // no socket, for another place as little.
                Err(cause) if cause.kind() == io::ErrorKind::TimedOut => return Err(cause),
                Err(cause) => last = cause,
            }
        }
        Err(last)
    }

    async fn dial_place(&self, caller: VirtualAddr, place: SocketAddr) -> io::Result<Inward> {
        let (kind, source): (_, IpAddr) = match place {
            SocketAddr::V4(_) => (Kind::Tcp4, caller.v4.into()),
            SocketAddr::V6(_) => (Kind::Tcp6, caller.v6.into()),
        };
        let socket = std::net::TcpStream::from(self.take(kind).await?);
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
        let connecting = Inward::connect(socket, place, self.shared);
        let stream = timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| {
            let what = format!(
                "port {} did not answer within {CONNECT_TIMEOUT:?}",
                place.port()
            );
            io::Error::new(io::ErrorKind::TimedOut, what)
        })??;
        // A port without a listener can connect to itself when it is drawn as its own source.
        if stream.peer_addr()? != place || stream.local_addr()? == place {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(stream)
    }

    /// One socket; waits for it within bounds.
    pub(crate) async fn take(&self, kind: Kind) -> io::Result<OwnedFd> {
        let shelf = self.shelf(kind);
        let taken = timeout(INBOUND_WAIT, async {
            loop {
                // Enrolled before the look, so that an arrival in between wakes us.
                let arrived = shelf.arrived.notified();
                let (socket, running_low) = shelf.take();
                if running_low {
                    self.low.notify_one();
                }
                match socket {
                    Some(socket) => return socket,
                    None => arrived.await,
                }
            }
        })
        .await;
        taken.map_err(|_| {
            // What was ordered did not come: order it anew rather than wait for it for ever.
            shelf.stock().ordered = 0;
            self.low.notify_one();
            let what = format!("the launcher made no inbound socket within {INBOUND_WAIT:?}");
            io::Error::new(io::ErrorKind::TimedOut, what)
        })
    }

    /// One socket that is there.
    #[cfg(test)]
    pub(crate) fn take_now(&self, kind: Kind) -> Option<OwnedFd> {
        self.shelf(kind).take().0
    }

    fn shelf(&self, kind: Kind) -> &Shelf {
        &self.shelves[kind as usize]
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for shelf in &self.shelves {
            let sockets = std::mem::take(&mut shelf.stock().sockets);
            drop(Held::new(self.shared, sockets));
        }
    }
}

/// An address of ours in a compartment; struck out when this is dropped.
pub(crate) struct Own {
    address: SocketAddr,
    all: Arc<Mutex<HashSet<SocketAddr>>>,
}

impl Drop for Own {
    fn drop(&mut self) {
        locked(&self.all).remove(&self.address);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// One socket, if there is one; and whether more should be ordered.
    fn take(&self) -> (Option<OwnedFd>, bool) {
        let (socket, low, more) = {
            let mut stock = self.stock();
            let socket = stock.sockets.pop();
            let low = stock.sockets.len() + stock.ordered < INBOUND_POOL / 2;
            (socket, low, !stock.sockets.is_empty())
        };
        if more {
            // `notify_one` keeps a single permit: pass it on, so that two arrivals wake two.
            self.arrived.notify_one();
        }
        (socket, low)
    }

    fn order(&self) -> u32 {
        let mut stock = self.stock();
        let more = INBOUND_POOL.saturating_sub(stock.sockets.len() + stock.ordered);
        stock.ordered += more;
        more as u32
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        locked(&self.stock)
    }
}

#[cfg(test)]
mod tests;
